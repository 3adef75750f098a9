import { basename, resolve } from 'node:path';
import { type Checkpoint, openCheckpoint, requirePipelineClass } from '../checkpoint/checkpoint.js';
import { readAutoencoderKLConfig, vaeScaleFactor } from '../models/autoencoder-kl.js';
import { readCLIPTextConfig } from '../models/clip-text.js';
import { readUNet2DConditionConfig, type UNet2DConditionConfig } from '../models/unet-2d-condition.js';
import type { PlannedImage } from '../planning/rank-program.js';
import { expected } from '../runtime/errors.js';
import { readArchitecture } from './architectures.js';
import { embeddedModel } from './package.js';

/** What of a model decides how its pictures can be shared. */
export interface PlanSubject {
  readonly unet: UNet2DConditionConfig;
  /** Pixels per latent. */
  readonly factor: number;
  readonly textTokens: number;
}

export interface SubjectOptions {
  readonly pretrained_model_name_or_path?: string;
  readonly random_weights?: string;
  readonly variant?: string;
  readonly revision?: string;
}

/** Of SDXL's VAE and text encoders, for architectures that are known by their UNet alone. */
const SDXL_FACTOR = 8;
const SDXL_TOKENS = 77;
/** SDXL base's size, for models that do not say theirs. */
const SDXL_SIZE = 1024;

/** The model that the options name: an architecture without weights, a checkpoint, or the embedded model. */
export async function openSubject(options: SubjectOptions): Promise<PlanSubject & { readonly name: string }> {
  const { random_weights: architecture, variant, revision } = options;
  if (architecture !== undefined) return { name: architecture, ...(await architectureSubject(architecture)) };
  const model = options.pretrained_model_name_or_path ?? embeddedModel;
  const checkpoint = await openCheckpoint(model, { variant, revision });
  requirePipelineClass(checkpoint, 'StableDiffusionXLPipeline');
  const local = model === embeddedModel || /^[./]/.test(model);
  return { name: local ? basename(resolve(model)) : model, ...(await checkpointSubject(checkpoint)) };
}

export async function architectureSubject(name: string): Promise<PlanSubject> {
  const unet = readUNet2DConditionConfig(await readArchitecture(name));
  return { unet, factor: SDXL_FACTOR, textTokens: SDXL_TOKENS };
}

export async function checkpointSubject(checkpoint: Pick<Checkpoint, 'config'>): Promise<PlanSubject> {
  return {
    unet: readUNet2DConditionConfig(await checkpoint.config('unet')),
    factor: vaeScaleFactor(readAutoencoderKLConfig(await checkpoint.config('vae'))),
    textTokens: readCLIPTextConfig('text_encoder', await checkpoint.config('text_encoder')).maxPositions,
  };
}

/** `images` pictures of the size asked for, or of the model's own. */
export function plannedImage(
  { unet, factor, textTokens }: PlanSubject,
  imageSize: readonly number[] = [],
  images = 1,
): PlannedImage {
  if (imageSize.length > 2) {
    throw expected('one number, or height and width,', '--image_size', imageSize.join(' '));
  }
  const native = unet.sampleSize === undefined ? SDXL_SIZE : unet.sampleSize * factor;
  const [height = native, width = height] = imageSize;
  return { unet, rows: Math.floor(height / factor), columns: Math.floor(width / factor), textTokens, images };
}
