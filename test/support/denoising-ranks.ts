import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readJson } from '../../src/base/json.js';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { type DeviceChoice, referenceDevice } from '../../src/engine/device.js';
import type { ParallelOptions } from '../../src/parallel/registry.js';
import type { SplitScheme } from '../../src/parallel/strategies/naive-patch.js';
import type { SyncMode } from '../../src/parallel/sync-modes.js';
import type { GenerationRequest } from '../../src/pipelines/request.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import type { SchedulerName } from '../../src/schedulers/registry.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import type { DenoisingJob, DenoisingReport } from './denoising-rank.js';
import { tinyPixArt } from './golden-dit.js';
import { groupOptions } from './rank-group.js';
import { requestOf } from './requests.js';

const kept = fileURLToPath(new URL('../../../test/golden/dit/parallel', import.meta.url));
const full = process.env.DISTRI_GOLDEN_DIT;
const folder = full === undefined ? kept : join(full, 'pipefusion');

/**
 * A run of the reference that spreads PixArt's transformer over ranks, or does not; files hold some of its
 * steps' tensors.
 */
export interface ParallelCase {
  readonly id: string;
  readonly file: string;
  readonly model: string;
  readonly strategy: 'single' | 'distrifusion' | 'naive';
  readonly ranks?: number;
  readonly warmup_steps?: number;
  readonly mode?: SyncMode;
  readonly split_scheme?: SplitScheme;
  readonly positions?: 'local' | 'whole';
  readonly scheduler: 'ddim' | 'euler' | 'dpm';
  readonly scheduler_config: Readonly<Record<string, unknown>>;
  readonly num_inference_steps: number;
  readonly guidance: boolean;
  readonly guidance_scale: number;
  readonly height: number;
  readonly width: number;
  readonly images: number;
  readonly seed: number;
}

/** The runs of PixArt by these strategies whose results are there. */
export async function parallelCases(
  ...strategies: readonly ParallelCase['strategy'][]
): Promise<readonly ParallelCase[]> {
  const { cases } = (await readJson(join(folder, 'cases.json'))) as unknown as { cases: ParallelCase[] };
  return cases.filter(
    ({ model, strategy, file }) =>
      model === 'pixart' && strategies.includes(strategy) && existsSync(join(folder, file)),
  );
}

export function openParallel({ file }: Pick<ParallelCase, 'file'>): Promise<SafetensorsFile> {
  return SafetensorsFile.open(join(folder, file));
}

const schedulers: Readonly<Record<ParallelCase['scheduler'], SchedulerName>> = {
  ddim: 'ddim',
  euler: 'euler',
  dpm: 'dpm-solver',
};

export function parallelRequest(golden: ParallelCase): GenerationRequest {
  return requestOf({
    height: golden.height,
    width: golden.width,
    numInferenceSteps: golden.num_inference_steps,
    guidanceScale: golden.guidance ? golden.guidance_scale : 1,
    numImagesPerPrompt: golden.images,
    scheduler: schedulers[golden.scheduler],
    seed: BigInt(golden.seed),
    familyOptions: { useResolutionBinning: false },
  });
}

/** What a run computed, by the names of `--trace`. */
export type Trace = ReadonlyMap<string, Tensor>;

/** A run of the reference, as far as ranks have to know it. */
type Reference = Pick<ParallelCase, 'scheduler_config'>;

/** The trace of the last of several runs, and what each rank exchanged in it. */
export interface Denoised {
  readonly trace: Trace;
  readonly reports: readonly DenoisingReport[];
}

/** Real rank processes that denoise with the tiny PixArt checkpoint. */
export class DenoisingRanks {
  #count = 0;

  private constructor(
    private readonly group: RankGroup<DenoisingJob, DenoisingReport>,
    private readonly results: string,
  ) {}

  static async launch(worldSize: number): Promise<DenoisingRanks> {
    const entry = new URL('./denoising-rank.js', import.meta.url);
    const group = await RankGroup.launch<DenoisingJob, DenoisingReport>(groupOptions(worldSize, entry));
    return new DenoisingRanks(group, await mkdtemp(join(tmpdir(), 'distri-denoising-')));
  }

  async draw(
    golden: Reference,
    parallel: ParallelOptions,
    request: GenerationRequest,
    { times = 1, device = referenceDevice }: { times?: number; device?: DeviceChoice } = {},
  ): Promise<Denoised> {
    const job = { ...this.#job(golden, parallel, request, times), device };
    const reports = await this.group.run(job, () => {});
    return { trace: await readAll(job.trace), reports };
  }

  /** Draws, and returns what the stage of each rank made of each part; see `DenoisingJob.stageResults`. */
  async drawStages(
    golden: Reference,
    parallel: ParallelOptions,
    request: GenerationRequest,
  ): Promise<readonly Trace[]> {
    const stageResults = join(this.results, 'stage-');
    const job = { ...this.#job(golden, parallel, request, 1), stageResults };
    const reports = await this.group.run(job, () => {});
    return Promise.all(reports.map((_, rank) => readAll(`${stageResults}${rank}`)));
  }

  async close(): Promise<void> {
    await this.group.close();
    await rm(this.results, { recursive: true });
  }

  #job(
    { scheduler_config }: Reference,
    parallel: ParallelOptions,
    request: GenerationRequest,
    times: number,
  ): DenoisingJob {
    return {
      directory: tinyPixArt,
      schedulerConfig: scheduler_config,
      conditioning: join(folder, 'conditioning.safetensors'),
      request,
      parallel,
      times,
      device: referenceDevice,
      trace: join(this.results, `${this.#count++}.safetensors`),
    };
  }
}

async function readAll(path: string): Promise<Trace> {
  const file = await SafetensorsFile.open(path);
  const tensors = new Map<string, Tensor>();
  for (const name of file.tensors.keys()) tensors.set(name, await file.read(name));
  return tensors;
}
