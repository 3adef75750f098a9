import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type { ParallelOptions } from '../../src/parallel/registry.js';
import type { SplitScheme } from '../../src/parallel/strategies/naive-patch.js';
import type { SyncMode } from '../../src/parallel/sync-modes.js';
import type { GenerationRequest } from '../../src/pipelines/request.js';
import type { SchedulerName } from '../../src/schedulers/registry.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { parallelOf, requestOf } from './requests.js';
import { seededCheckpoint } from './seeded-checkpoint.js';

const kept = fileURLToPath(new URL('../../../test/golden', import.meta.url));
/** The full golden data, where there is a copy. */
const full = process.env.DISTRI_GOLDEN;

/** The test checkpoints with the architectures of SDXL and of Stable Diffusion 1.5 and 2.1. */
export const tinySdxl = await seededCheckpoint('tiny-sdxl');
export const tinySd15 = await seededCheckpoint('tiny-sd15');
export const tinySd21 = await seededCheckpoint('tiny-sd21');

export interface DiffusersCase {
  readonly name: string;
  readonly file: string;
  readonly checkpoint: 'tiny-sdxl' | 'tiny-sdxl-fp16' | 'tiny-sd15' | 'tiny-sd21';
  readonly scheduler: SchedulerName;
  readonly scheduler_config: Record<string, unknown>;
  readonly prompt: string | readonly string[];
  readonly negative_prompt: string | readonly string[] | null;
  readonly steps: number;
  readonly guidance_scale: number;
  readonly height: number;
  readonly width: number;
  readonly seed: number;
  readonly num_images: number;
  readonly eta: number;
  readonly strength: number | null;
}

export interface DistrifuserCase {
  readonly id: string;
  readonly world_size: number;
  readonly seed: number;
  readonly num_inference_steps: number;
  readonly warmup_steps: number;
  readonly guidance_scale: number;
  readonly prompt: string;
  readonly mode: SyncMode;
  readonly variant: 'biased' | 'reference';
  readonly parallelism: 'patch' | 'tensor' | 'naive_patch';
  readonly split_batch: boolean;
  readonly split_scheme: SplitScheme;
  readonly height: number;
  readonly width: number;
  readonly scheduler: SchedulerName;
  readonly scheduler_config: Record<string, unknown>;
}

export async function diffusersCases(): Promise<DiffusersCase[]> {
  const folder = full ?? join(kept, 'diffusers');
  const { cases } = JSON.parse(await readFile(join(folder, 'cases.json'), 'utf8')) as {
    cases: DiffusersCase[];
  };
  return cases;
}

export function openDiffusers(name: string): Promise<SafetensorsFile> {
  return SafetensorsFile.open(join(full ?? join(kept, 'diffusers'), `${name}.safetensors`));
}

export async function distrifuserCases(): Promise<DistrifuserCase[]> {
  const folder = join(full ?? kept, 'distrifuser');
  const { cases } = JSON.parse(await readFile(join(folder, 'cases.json'), 'utf8')) as {
    cases: DistrifuserCase[];
  };
  return cases
    .filter((item) => item.variant === 'biased')
    .map((item) => ({ ...item, scheduler_config: asIn024(item.scheduler_config) }));
}

/**
 * diffusers 0.24, which distrifuser runs on, has no `final_sigmas_type`: its DPM-Solver always ends at
 * sigma_min.
 */
function asIn024(config: Record<string, unknown>): Record<string, unknown> {
  return 'solver_order' in config ? { ...config, final_sigmas_type: 'sigma_min' } : config;
}

export function openDistrifuser(id: string): Promise<SafetensorsFile> {
  const folder = join(full ?? kept, 'distrifuser');
  const biased = join(folder, 'biased', `${id}.safetensors`);
  return SafetensorsFile.open(existsSync(biased) ? biased : join(folder, `${id}.safetensors`));
}

/**
 * A copy of a checkpoint (made of links) with another scheduler config, in a temporary folder that is removed
 * with the returned function.
 */
export async function withSchedulerConfig(
  checkpoint: string,
  config: Readonly<Record<string, unknown>>,
): Promise<{ directory: string; remove: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'distri-golden-'));
  for (const part of [
    'text_encoder',
    'text_encoder_2',
    'tokenizer',
    'tokenizer_2',
    'unet',
    'vae',
    'model_index.json',
  ]) {
    if (existsSync(join(checkpoint, part))) await symlink(join(checkpoint, part), join(directory, part));
  }
  await mkdir(join(directory, 'scheduler'));
  await writeFile(join(directory, 'scheduler', 'scheduler_config.json'), JSON.stringify(config));
  return { directory, remove: () => rm(directory, { recursive: true }) };
}

function list(texts: string | readonly string[] | null): readonly string[] {
  if (texts === null) return [];
  return typeof texts === 'string' ? [texts] : texts;
}

export function diffusersRequest(golden: DiffusersCase): GenerationRequest {
  return requestOf({
    prompt: list(golden.prompt),
    negativePrompt: list(golden.negative_prompt),
    height: golden.height,
    width: golden.width,
    numInferenceSteps: golden.steps,
    guidanceScale: golden.guidance_scale,
    eta: golden.eta,
    numImagesPerPrompt: golden.num_images,
    scheduler: golden.scheduler,
    seed: BigInt(golden.seed),
    outputType: 'pil',
  });
}

export function distrifuserRequest(golden: DistrifuserCase): GenerationRequest {
  return requestOf({
    prompt: [golden.prompt],
    height: golden.height,
    width: golden.width,
    numInferenceSteps: golden.num_inference_steps,
    guidanceScale: golden.guidance_scale,
    scheduler: golden.scheduler,
    seed: BigInt(golden.seed),
  });
}

export function distrifuserParallel(golden: DistrifuserCase): ParallelOptions {
  return parallelOf(golden.parallelism, {
    splitScheme: golden.split_scheme,
    splitBatch: golden.split_batch,
    syncMode: golden.mode,
    warmupSteps: golden.warmup_steps,
  });
}

/** The largest absolute difference, and the largest magnitude of `wanted`. */
export function difference(actual: Tensor, wanted: Tensor): { worst: number; magnitude: number } {
  assert.deepEqual([...actual.shape], [...wanted.shape], 'shapes differ');
  let worst = 0;
  let magnitude = 0;
  for (let i = 0; i < wanted.data.length; i++) {
    const value = Number(wanted.data[i]);
    const off = Math.abs(Number(actual.data[i]) - value);
    if (!(off <= worst)) worst = off;
    magnitude = Math.max(magnitude, Math.abs(value));
  }
  return { worst, magnitude };
}

/**
 * Fails unless no element differs by more than `tolerance`, absolute or in units of the largest magnitude.
 */
export function assertClose(
  actual: Tensor | undefined,
  wanted: Tensor,
  tolerance: { absolute: number } | { relative: number },
  name: string,
): void {
  assert.ok(actual, `${name} is missing`);
  const { worst, magnitude } = difference(actual, wanted);
  const bound = 'absolute' in tolerance ? tolerance.absolute : tolerance.relative * magnitude;
  assert.ok(worst <= bound, `${name} differs by ${worst} (largest magnitude ${magnitude}, allowed ${bound})`);
}

/** Fails when a value differs by more than one level, or more than the share `levels` of them by one. */
export function comparePictures(actual: Tensor, wanted: Tensor, levels: number): void {
  assert.ok(difference(actual, wanted).worst <= 1, 'the picture differs by more than one level');
  const differing = Array.from(wanted.data as Uint8Array).filter(
    (value, i) => value !== actual.data[i],
  ).length;
  assert.ok(
    differing <= levels * wanted.data.length,
    `${differing} of ${wanted.data.length} values differ by one level`,
  );
}
