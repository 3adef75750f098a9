import { packageVersion } from '../../base/package.js';
import type { DrawReport } from '../../jobs/draw.js';
import { firstRank } from '../../jobs/report/benchmark.js';
import { phaseTimes } from '../../jobs/report/phase-times.js';
import { describeMachine, type Machine } from '../../machine/machine.js';
import { describeVersions, type Versions } from '../../machine/versions.js';
import { ownOptions } from '../../parallel/registry.js';
import type { Pipeline } from '../pipeline.js';
import type { DrawPlan } from '../plan-drawing.js';

/** What was run, and on what. */
export interface RecordHeader {
  /** When it ended, in ISO 8601. */
  readonly time: string;
  readonly machine: Machine;
  readonly versions: Versions;
  /** Options by their names, defaults included. */
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly setting: {
    readonly model: string;
    readonly randomWeights: boolean;
    readonly height: number;
    readonly width: number;
    /** Of a group. */
    readonly ranks: number;
    readonly threads: number;
    readonly weights: string;
    readonly dtype: string;
    readonly engine: string;
    readonly mode: string;
  };
}

/** One call of the pipeline; seconds are those of the first rank. */
export interface RunRecord {
  readonly callSeconds: number;
  readonly textSeconds: number | undefined;
  readonly denoiseSeconds: number | undefined;
  readonly decodeSeconds: number | undefined;
  readonly ranks: readonly RankRecord[];
}

/** One rank's part of a call. The first six are its `PhaseTimes`. */
interface RankRecord {
  readonly beforeLoopMs: number;
  readonly loopMs: number;
  readonly iteration0Ms: number;
  /** Absent where there is but one iteration. */
  readonly otherIterationsMs: number | undefined;
  readonly afterLoopMs: number;
  readonly endToEndMs: number;
  /** Absent where the models were there already. */
  readonly loadSeconds: number | undefined;
  readonly stepSeconds: readonly number[];
  /** The next three are per step, and empty without peers. */
  readonly waitedSeconds: readonly number[];
  readonly bytesPublished: readonly number[];
  readonly bytesFetched: readonly number[];
}

/** `given`: the command's options by their names. */
export async function recordHeader(
  given: object,
  { onnxRuntime }: Pick<Pipeline, 'onnxRuntime'>,
  { model, request, topology, parallel, load, mode }: DrawPlan,
): Promise<RecordHeader> {
  return {
    time: new Date().toISOString(),
    machine: describeMachine(),
    versions: await describeVersions(packageVersion(), onnxRuntime),
    arguments: { ...ownOptions(parallel), ...given },
    setting: {
      model,
      randomWeights: load.synthetic,
      height: request.height,
      width: request.width,
      ranks: topology.worldSize,
      threads: load.threads,
      weights: load.weights,
      dtype: load.device.dtype,
      engine: load.device.engine,
      mode,
    },
  };
}

/** `run` are the reports of all ranks. */
export function runRecord(run: readonly DrawReport[]): RunRecord {
  const { latency, timings } = firstRank(run);
  const { text, denoise, decode } = timings.phases;
  return {
    callSeconds: latency / 1000,
    textSeconds: text && text / 1000,
    denoiseSeconds: denoise && denoise / 1000,
    decodeSeconds: decode && decode / 1000,
    ranks: run.map(rankRecord),
  };
}

function rankRecord(report: DrawReport): RankRecord {
  const { phases, steps } = report.timings;
  const { beforeLoop, loop, iteration0, otherIterations, afterLoop, endToEnd } = phaseTimes(report);
  return {
    beforeLoopMs: beforeLoop,
    loopMs: loop,
    iteration0Ms: iteration0,
    otherIterationsMs: otherIterations,
    afterLoopMs: afterLoop,
    endToEndMs: endToEnd,
    loadSeconds: phases.load && phases.load / 1000,
    stepSeconds: steps.map((time) => time / 1000),
    waitedSeconds: report.exchanges.map(({ waited }) => waited / 1000),
    bytesPublished: report.exchanges.map(({ bytesPublished }) => bytesPublished),
    bytesFetched: report.exchanges.map(({ bytesFetched }) => bytesFetched),
  };
}
