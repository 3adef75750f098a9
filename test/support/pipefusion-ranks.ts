import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readJson } from '../../src/base/json.js';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type { GenerationRequest, ParallelOptions, StageOptions } from '../../src/pipelines/request.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import type { SchedulerName } from '../../src/schedulers/registry.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { tinyPixArt } from './golden-dit.js';
import type { DenoisingJob, DenoisingReport, StepBytes } from './pipefusion-rank.js';

const kept = fileURLToPath(new URL('../../../test/golden/dit', import.meta.url));
const folder = join(process.env.DISTRI_GOLDEN_DIT ?? kept, 'pipefusion');

/** A run of the reference; files hold some of its steps' tensors. */
export interface PipeFusionCase {
  readonly id: string;
  readonly file: string;
  readonly model: string;
  readonly strategy: string;
  readonly num_patches: number;
  readonly warmup_steps: number;
  readonly empty?: 'visible' | 'zeros';
  readonly scheduler: 'ddim' | 'euler' | 'dpm' | 'dpm3';
  readonly scheduler_config: Readonly<Record<string, unknown>>;
  readonly num_inference_steps: number;
  readonly guidance: boolean;
  readonly guidance_scale: number;
  readonly height: number;
  readonly width: number;
  readonly images: number;
  readonly seed: number;
}

/** All runs of PixArt by PipeFusion but those that let keys of zeros take part. */
export async function pipeFusionCases(): Promise<readonly PipeFusionCase[]> {
  const { cases } = (await readJson(join(folder, 'cases.json'))) as unknown as { cases: PipeFusionCase[] };
  return cases.filter(
    ({ model, strategy, empty }) => model === 'pixart' && strategy === 'pipefusion' && empty !== 'zeros',
  );
}

export function openPipeFusion({ file }: Pick<PipeFusionCase, 'file'>): Promise<SafetensorsFile> {
  return SafetensorsFile.open(join(folder, file));
}

const schedulers: Readonly<Record<PipeFusionCase['scheduler'], SchedulerName>> = {
  ddim: 'ddim',
  euler: 'euler',
  dpm: 'dpm-solver',
  dpm3: 'dpm-solver',
};

export function pipeFusionRequest(golden: PipeFusionCase): GenerationRequest {
  return {
    prompt: [''],
    negativePrompt: [],
    height: golden.height,
    width: golden.width,
    numInferenceSteps: golden.num_inference_steps,
    guidanceScale: golden.guidance ? golden.guidance_scale : 1,
    eta: 0,
    numImagesPerPrompt: golden.images,
    scheduler: schedulers[golden.scheduler],
    seed: BigInt(golden.seed),
    rng: 'cpu',
    outputType: 'latent',
    trace: true,
  };
}

export function pipeFusion(warmupSteps: number, pipeline: StageOptions, splitBatch = false): ParallelOptions {
  return {
    parallelism: 'pipefusion',
    splitScheme: 'alternate',
    splitBatch,
    syncMode: 'corrected_async_gn',
    warmupSteps,
    pipefusion: pipeline,
  };
}

/** What a run computed, by the names of `--trace`. */
export type Trace = ReadonlyMap<string, Tensor>;

async function readAll(path: string): Promise<Trace> {
  const file = await SafetensorsFile.open(path);
  const tensors = new Map<string, Tensor>();
  for (const name of file.tensors.keys()) tensors.set(name, await file.read(name));
  return tensors;
}

/** Real rank processes that denoise. */
export class DenoisingRanks {
  #count = 0;

  private constructor(
    private readonly group: RankGroup<DenoisingJob, DenoisingReport>,
    private readonly folder: string,
  ) {}

  static async launch(worldSize: number): Promise<DenoisingRanks> {
    const group = await RankGroup.launch<DenoisingJob, DenoisingReport>({
      worldSize,
      entry: new URL('./pipefusion-rank.js', import.meta.url),
      cpus: undefined,
      timeout: 60_000,
      interruption: new AbortController().signal,
      log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
    });
    return new DenoisingRanks(group, await mkdtemp(join(tmpdir(), 'distri-pipefusion-')));
  }

  /** The trace of the last of `times` runs, and what each rank published in it, together and, with what it read, in each step. */
  async draw(
    golden: PipeFusionCase,
    parallel: ParallelOptions,
    times = 1,
    request = pipeFusionRequest(golden),
  ): Promise<{ trace: Trace; published: readonly number[]; steps: readonly (readonly StepBytes[])[] }> {
    const job = this.#job(golden, parallel, request, times);
    const reports = await this.group.run(job, () => {});
    return {
      trace: await readAll(job.trace),
      published: reports.map(({ bytesPublished }) => bytesPublished),
      steps: reports.map(({ steps }) => steps),
    };
  }

  /** Draws, and returns what the stage of each rank made of each part; see `DenoisingJob.stageResults`. */
  async drawStages(golden: PipeFusionCase, parallel: ParallelOptions): Promise<readonly Trace[]> {
    const path = join(this.folder, 'stage-');
    const reports = await this.group.run(
      {
        ...this.#job(golden, parallel, pipeFusionRequest(golden), 1),
        stageResults: path,
      },
      () => {},
    );
    return Promise.all(reports.map((_, rank) => readAll(`${path}${rank}`)));
  }

  #job(
    golden: PipeFusionCase,
    parallel: ParallelOptions,
    request: GenerationRequest,
    times: number,
  ): DenoisingJob {
    return {
      directory: tinyPixArt,
      schedulerConfig: golden.scheduler_config,
      conditioning: join(folder, 'conditioning.safetensors'),
      request,
      parallel,
      times,
      trace: join(this.folder, `${this.#count++}.safetensors`),
    };
  }

  async close(): Promise<void> {
    await this.group.close();
    await rm(this.folder, { recursive: true });
  }
}
