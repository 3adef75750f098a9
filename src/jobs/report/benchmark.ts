import { mean } from '../../base/numbers.js';
import { type Summary, summarize, trimmedMean } from '../../base/statistics.js';
import type { CommunicatorStatistics } from '../../engine/addon.js';
import type { MemoryUse } from '../../machine/memory-use.js';
import type { DrawReport } from '../draw.js';

/** What was measured. */
export interface Measurements {
  /** One per measured run: the reports of all ranks. */
  readonly runs: readonly (readonly DrawReport[])[];
  /** Milliseconds that the first rank loaded models before the first run. */
  readonly load: number;
  /** By rank, after the last run. */
  readonly memory: readonly MemoryUse[];
}

/** A part of a run; times are seconds. */
export interface PhaseFigures extends Summary {
  readonly phase: 'call' | 'text' | 'firstStep' | 'synchronousStep' | 'staleStep' | 'decode';
  /** How many were measured. */
  readonly count: number;
}

/** One rank's exchange in a step, on average. */
export interface ExchangeFigures {
  readonly kind: 'synchronous' | 'stale';
  readonly bytesPublished: number;
  readonly bytesFetched: number;
  readonly waitedSeconds: number;
}

export interface RankFigures {
  readonly rank: number;
  /** The most that it had in memory at any time, pages shared with other ranks included (VmHWM). */
  readonly peakMemoryBytes: number;
  /** Its own after the last run (RssAnon). */
  readonly privateMemoryBytes: number;
  /** Empty without peers. */
  readonly exchanges: readonly ExchangeFigures[];
}

export interface BenchmarkFigures {
  /** The trimmed mean of the calls. */
  readonly latencySeconds: number;
  readonly loadSeconds: number;
  readonly phases: readonly PhaseFigures[];
  readonly ranks: readonly RankFigures[];
}

/** `synchronous` of the steps are synchronous; see `trimmedMean` for `ignoreRatio`. */
export function benchmarkFigures(
  measurements: Measurements,
  synchronous: number,
  ignoreRatio: number,
): BenchmarkFigures {
  const { runs, load, memory } = measurements;
  const calls = runs.map(firstRank);
  return {
    latencySeconds:
      trimmedMean(
        calls.map(({ latency }) => latency),
        ignoreRatio,
      ) / 1000,
    loadSeconds: load / 1000,
    phases: phaseFigures(calls, synchronous),
    ranks: memory.map(({ peak, anonymous }, rank) => ({
      rank,
      peakMemoryBytes: peak,
      privateMemoryBytes: anonymous,
      exchanges: exchangeFigures(
        runs.map((run) => (run[rank] as DrawReport).exchanges),
        synchronous,
      ),
    })),
  };
}

export function firstRank(run: readonly DrawReport[]): DrawReport {
  return run[0] as DrawReport;
}

function phaseFigures(calls: readonly DrawReport[], synchronous: number): PhaseFigures[] {
  const steps = (from: number, to: number | undefined) =>
    calls.flatMap(({ timings }) => timings.steps.slice(from, to));
  const phase = (name: 'text' | 'decode') => calls.flatMap(({ timings }) => timings.phases[name] ?? []);
  const samples: readonly [PhaseFigures['phase'], readonly number[]][] = [
    ['call', calls.map(({ latency }) => latency)],
    ['text', phase('text')],
    ['firstStep', steps(0, 1)],
    ['synchronousStep', steps(1, synchronous)],
    ['staleStep', steps(synchronous, undefined)],
    ['decode', phase('decode')],
  ];
  return samples
    .filter(([, times]) => times.length > 0)
    .map(([name, times]) => ({
      phase: name,
      count: times.length,
      ...summarize(times.map((time) => time / 1000)),
    }));
}

/** `runs[run][step]` of one rank. */
function exchangeFigures(
  runs: readonly (readonly CommunicatorStatistics[])[],
  synchronous: number,
): ExchangeFigures[] {
  const kinds = [
    { kind: 'synchronous', steps: runs.flatMap((run) => run.slice(0, synchronous)) },
    { kind: 'stale', steps: runs.flatMap((run) => run.slice(synchronous)) },
  ] as const;
  return kinds
    .filter(({ steps }) => steps.length > 0)
    .map(({ kind, steps }) => ({
      kind,
      bytesPublished: mean(steps.map(({ bytesPublished }) => bytesPublished)),
      bytesFetched: mean(steps.map(({ bytesFetched }) => bytesFetched)),
      waitedSeconds: mean(steps.map(({ waited }) => waited)) / 1000,
    }));
}
