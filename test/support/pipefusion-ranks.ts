import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readJson } from '../../src/base/json.js';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type { GenerationRequest } from '../../src/pipelines/request.js';
import type { SchedulerName } from '../../src/schedulers/registry.js';
import { requestOf } from './requests.js';

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
