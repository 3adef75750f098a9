import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readJson } from '../../src/base/json.js';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type { GenerationRequest } from '../../src/pipelines/request.js';
import type { SchedulerName } from '../../src/schedulers/registry.js';
import { requestOf } from './requests.js';
import { seededCheckpoint } from './seeded-checkpoint.js';

const kept = fileURLToPath(new URL('../../../test/golden/dit', import.meta.url));
/**
 * Reference data of diffusion transformers: the kept selection, or the full set in the folder that
 * DISTRI_GOLDEN_DIT names.
 */
const folder = process.env.DISTRI_GOLDEN_DIT ?? kept;

/** The test checkpoints with the architectures of PixArt-alpha and of FLUX.1. */
export const tinyPixArt = await ditCheckpoint('tiny-pixart');
export const tinyFlux = await ditCheckpoint('tiny-flux');

function ditCheckpoint(name: 'tiny-pixart' | 'tiny-flux'): Promise<string> {
  return process.env.DISTRI_GOLDEN_DIT ? Promise.resolve(join(folder, name)) : seededCheckpoint(name);
}

interface AnyDitCase {
  readonly name: string;
  readonly checkpoint: string;
  readonly file: string;
}

export interface DitCase extends AnyDitCase {
  readonly scheduler: SchedulerName;
  readonly scheduler_config: Readonly<Record<string, unknown>>;
  readonly prompt: string | readonly string[];
  readonly negative_prompt: string | readonly string[];
  readonly steps: number;
  readonly guidance_scale: number;
  readonly height: number;
  readonly width: number;
  readonly seed: number;
  readonly num_images: number;
  readonly eta: number;
  readonly use_resolution_binning: boolean;
}

export interface FluxCase extends AnyDitCase {
  readonly scheduler_config: Readonly<Record<string, unknown>>;
  readonly prompt: string | readonly string[];
  readonly prompt_2: string | readonly string[] | null;
  readonly negative_prompt: string | null;
  readonly true_cfg_scale: number;
  readonly steps: number;
  readonly guidance_scale: number;
  readonly height: number;
  readonly width: number;
  readonly image_size: readonly [height: number, width: number];
  readonly seed: number;
  readonly num_images: number;
  readonly max_sequence_length: number;
}

/** The runs of PixArt whose results are there. */
export async function pixArtCases(): Promise<readonly DitCase[]> {
  return (await casesOf('tiny-pixart')) as readonly DitCase[];
}

/** The runs of FLUX.1 whose results are there. */
export async function fluxCases(): Promise<readonly FluxCase[]> {
  return (await casesOf('tiny-flux')) as readonly FluxCase[];
}

async function casesOf(name: string): Promise<readonly AnyDitCase[]> {
  const { cases } = (await readDitJson('cases')) as { cases: readonly AnyDitCase[] };
  return cases.filter(({ checkpoint, file }) => checkpoint === name && existsSync(join(folder, file)));
}

export function fluxRequest(golden: FluxCase): GenerationRequest {
  const [height, width] = golden.image_size;
  const second = golden.prompt_2 === null ? {} : { prompt2: [golden.prompt_2].flat() };
  return requestOf({
    prompt: [golden.prompt].flat(),
    negativePrompt: [golden.negative_prompt ?? []].flat(),
    height,
    width,
    numInferenceSteps: golden.steps,
    guidanceScale: golden.guidance_scale,
    trueCfgScale: golden.true_cfg_scale,
    numImagesPerPrompt: golden.num_images,
    scheduler: 'flow_match_euler',
    seed: BigInt(golden.seed),
    outputType: 'pil',
    familyOptions: {
      ...second,
      maxSequenceLength: golden.max_sequence_length,
      trueCfgScale: golden.true_cfg_scale,
    },
  });
}

export function pixArtRequest(golden: DitCase): GenerationRequest {
  return requestOf({
    prompt: [golden.prompt].flat(),
    negativePrompt: [golden.negative_prompt].flat(),
    height: golden.height,
    width: golden.width,
    numInferenceSteps: golden.steps,
    guidanceScale: golden.guidance_scale,
    eta: golden.eta,
    numImagesPerPrompt: golden.num_images,
    scheduler: golden.scheduler,
    seed: BigInt(golden.seed),
    outputType: 'pil',
    familyOptions: { useResolutionBinning: golden.use_resolution_binning },
  });
}

export function openDit(name: string): Promise<SafetensorsFile> {
  return SafetensorsFile.open(join(folder, `${name}.safetensors`));
}

export function readDitJson(name: string): Promise<unknown> {
  return readJson(join(folder, `${name}.json`));
}
