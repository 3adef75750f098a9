import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileError } from '../checkpoint/file-io.js';
import { describeMachine, type Machine } from '../inspection/machine.js';
import { describeVersions, type Versions } from '../inspection/versions.js';
import { type BenchmarkFigures, firstRank, type Measurements } from '../report/benchmark.js';
import type { JobReport } from '../runtime/job.js';
import { Staging } from '../runtime/staging.js';
import { packageVersion } from './package.js';
import type { SdxlOptions } from './sdxl-options.js';
import type { Subject } from './sdxl-plan.js';
import type { SdxlPreparation } from './sdxl-ranks.js';
import { describeMode } from './summary.js';

/** What `--json` writes; times are seconds. */
export interface BenchmarkRecord extends BenchmarkFigures {
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
    readonly ranks: number;
    readonly threads: number;
    readonly weights: string;
    readonly mode: string;
  };
  /** In the order in which they were measured. */
  readonly runs: readonly RunRecord[];
}

interface RunRecord {
  readonly callSeconds: number;
  readonly textSeconds: number | undefined;
  readonly denoiseSeconds: number | undefined;
  readonly decodeSeconds: number | undefined;
  readonly ranks: readonly {
    readonly stepSeconds: readonly number[];
    /** The next three are per step, and empty without peers. */
    readonly waitedSeconds: readonly number[];
    readonly bytesPublished: readonly number[];
    readonly bytesFetched: readonly number[];
  }[];
}

export async function benchmarkRecord(
  options: SdxlOptions,
  subject: Subject,
  { plan, load }: SdxlPreparation,
  measurements: Measurements,
  figures: BenchmarkFigures,
  onnxRuntime: string,
): Promise<BenchmarkRecord> {
  const { request, steps, topology, parallel } = plan;
  return {
    time: new Date().toISOString(),
    machine: describeMachine(),
    versions: await describeVersions(packageVersion(), onnxRuntime),
    arguments: { ...options },
    setting: {
      model: subject.name,
      randomWeights: subject.randomWeights,
      height: request.height,
      width: request.width,
      ranks: topology.worldSize,
      threads: load.threads,
      weights: load.weights,
      mode: describeMode(topology, parallel, steps),
    },
    ...figures,
    runs: measurements.runs.map(runRecord),
  };
}

function runRecord(run: readonly JobReport[]): RunRecord {
  const { latency, timings } = firstRank(run);
  const { text, denoise, decode } = timings.phases;
  return {
    callSeconds: latency / 1000,
    textSeconds: text && text / 1000,
    denoiseSeconds: denoise && denoise / 1000,
    decodeSeconds: decode && decode / 1000,
    ranks: run.map(({ timings: { steps }, exchanges }) => ({
      stepSeconds: steps.map((time) => time / 1000),
      waitedSeconds: exchanges.map(({ waited }) => waited / 1000),
      bytesPublished: exchanges.map(({ bytesPublished }) => bytesPublished),
      bytesFetched: exchanges.map(({ bytesFetched }) => bytesFetched),
    })),
  };
}

/** The file of `--json`: checked before anything is measured, seen by others when it is complete. */
export class RecordFile {
  private constructor(
    readonly path: string,
    private readonly staging: Staging,
    private readonly staged: string,
  ) {}

  static async prepare(path: string): Promise<RecordFile> {
    const target = resolve(path);
    const staging = new Staging();
    return new RecordFile(target, staging, await staging.add(target));
  }

  async write(record: BenchmarkRecord): Promise<void> {
    try {
      await mkdir(dirname(this.staged), { recursive: true });
      await writeFile(this.staged, `${JSON.stringify(record, seedAsNumber, 2)}\n`);
    } catch (error) {
      throw fileError(error, this.path, 'output');
    }
    await this.staging.commit();
  }

  discard(): Promise<void> {
    return this.staging.discard();
  }
}

/** A seed that JSON's readers would round is written as text. */
function seedAsNumber(_key: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
}
