import { mean } from '../../src/base/numbers.js';
import type { BenchmarkFigures } from '../../src/jobs/report/benchmark.js';

/** Figures of one way to share pictures; the times are seconds. */
export interface SweepRow {
  /** Such as "2 ranks, patch, whole batch". */
  readonly way: string;
  readonly latency: number;
  /** Median of the kind of steps that long pictures mostly have. */
  readonly step: number;
  /** Of the rank that has most; pages that it shares with others included. */
  readonly peakBytes: number;
  /** What others read of a rank's data in such a step, the mean over ranks. */
  readonly sentBytes: number;
}

interface Column {
  readonly title: string;
  readonly text: (row: SweepRow) => string;
}

export const columns: readonly Column[] = [
  { title: 'way', text: ({ way }) => way },
  { title: 'latency, s', text: ({ latency }) => latency.toFixed(2) },
  { title: 'step, ms', text: ({ step }) => (1000 * step).toFixed(0) },
  { title: 'peak memory of a rank, MB', text: ({ peakBytes }) => (peakBytes / 1e6).toFixed(0) },
  { title: 'sent per rank and step, MB', text: ({ sentBytes }) => (sentBytes / 1e6).toFixed(2) },
];

/** Later steps count: the stale ones, where a strategy has them. */
export function sweepRow(
  way: string,
  { latencySeconds, phases, ranks }: Pick<BenchmarkFigures, 'latencySeconds' | 'phases' | 'ranks'>,
): SweepRow {
  const phase = (wanted: string) => phases.find((each) => each.phase === wanted)?.median;
  return {
    way,
    latency: latencySeconds,
    step: phase('staleStep') ?? phase('synchronousStep') ?? phase('firstStep') ?? Number.NaN,
    peakBytes: Math.max(...ranks.map(({ peakMemoryBytes }) => peakMemoryBytes)),
    sentBytes: mean(ranks.map(({ exchanges }) => exchanges.at(-1)?.bytesFetched ?? 0)),
  };
}

export function cells(row: SweepRow): string[] {
  return columns.map(({ text }) => text(row));
}

/** RFC 4180. */
export function csvTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const quoted = (cell: string) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return [head, ...rows].map((line) => `${line.map(quoted).join(',')}\r\n`).join('');
}
