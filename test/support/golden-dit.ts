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

/** The test checkpoint with PixArt-alpha's architecture. */
export const tinyPixArt = process.env.DISTRI_GOLDEN_DIT
  ? join(folder, 'tiny-pixart')
  : await seededCheckpoint('tiny-pixart');

export interface DitCase {
  readonly name: string;
  readonly file: string;
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

/** The runs of PixArt whose results are there. */
export async function pixArtCases(): Promise<readonly DitCase[]> {
  const { cases } = (await readDitJson('cases')) as { cases: readonly (DitCase & { checkpoint: string })[] };
  return cases.filter(
    ({ checkpoint, file }) => checkpoint === 'tiny-pixart' && existsSync(join(folder, file)),
  );
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
