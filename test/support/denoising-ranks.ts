import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readJson } from '../../src/base/json.js';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type {
  GenerationRequest,
  ParallelOptions,
  SplitScheme,
  SyncMode,
} from '../../src/pipelines/request.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import type { SchedulerName } from '../../src/schedulers/registry.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import type { DenoisingJob, DenoisingReport } from './denoising-rank.js';
import { tinyPixArt } from './golden-dit.js';

const kept = fileURLToPath(new URL('../../../test/golden/dit/parallel', import.meta.url));
const full = process.env.DISTRI_GOLDEN_DIT;
const folder = full === undefined ? kept : join(full, 'pipefusion');

/** A run of the reference that spreads PixArt's transformer over ranks, or does not; files hold some of its steps' tensors. */
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

function requestOf(golden: ParallelCase): GenerationRequest {
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

/** A strategy by itself: the batch of the guidance is not split, nothing is stale. */
export function parallelOptions(options: Partial<ParallelOptions>): ParallelOptions {
  return {
    parallelism: 'patch',
    splitScheme: 'row',
    splitBatch: false,
    syncMode: 'full_sync',
    warmupSteps: 0,
    ...options,
  };
}

/** What a run computed, by the names of `--trace`, and what each rank exchanged. */
export interface Denoised {
  readonly trace: ReadonlyMap<string, Tensor>;
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
    const group = await RankGroup.launch<DenoisingJob, DenoisingReport>({
      worldSize,
      entry: new URL('./denoising-rank.js', import.meta.url),
      cpus: undefined,
      timeout: 60_000,
      interruption: new AbortController().signal,
      log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
    });
    return new DenoisingRanks(group, await mkdtemp(join(tmpdir(), 'distri-denoising-')));
  }

  async draw(
    golden: ParallelCase,
    parallel: ParallelOptions,
    changes: Partial<GenerationRequest> = {},
  ): Promise<Denoised> {
    const path = join(this.results, `${this.#count++}.safetensors`);
    const reports = await this.group.run(
      {
        directory: tinyPixArt,
        schedulerConfig: golden.scheduler_config,
        conditioning: join(folder, 'conditioning.safetensors'),
        request: { ...requestOf(golden), ...changes },
        parallel,
        trace: path,
      },
      () => {},
    );
    const file = await SafetensorsFile.open(path);
    const trace = new Map<string, Tensor>();
    for (const name of file.tensors.keys()) trace.set(name, await file.read(name));
    return { trace, reports };
  }

  async close(): Promise<void> {
    await this.group.close();
    await rm(this.results, { recursive: true });
  }
}
