import { basename, resolve } from 'node:path';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { readAutoencoderKLConfig, vaeScaleFactor } from '../models/autoencoder-kl.js';
import { readCLIPTextConfig } from '../models/clip-text.js';
import { readUNet2DConditionConfig, type UNet2DConditionConfig } from '../models/unet-2d-condition.js';
import { readArchitecture } from './architectures.js';
import { embeddedModel } from './package.js';

/** What of a model decides how its pictures can be shared. */
export interface PlanSubject {
  readonly name: string;
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

/** The subject that the options name: an architecture without weights, a checkpoint, or the embedded model. */
export async function openSubject(options: SubjectOptions): Promise<PlanSubject> {
  const { random_weights: name, variant, revision } = options;
  if (name === undefined) {
    const model = options.pretrained_model_name_or_path ?? embeddedModel;
    return subjectOf(await openCheckpoint(model, { variant, revision }), nameOf(model));
  }
  const unet = readUNet2DConditionConfig(await readArchitecture(name));
  return { name, unet, factor: SDXL_FACTOR, textTokens: SDXL_TOKENS };
}

export async function subjectOf(checkpoint: Checkpoint, name: string): Promise<PlanSubject> {
  const text = readCLIPTextConfig('text_encoder', await checkpoint.config('text_encoder'));
  return {
    name,
    unet: readUNet2DConditionConfig(await checkpoint.config('unet')),
    factor: vaeScaleFactor(readAutoencoderKLConfig(await checkpoint.config('vae'))),
    textTokens: text.maxPositions,
  };
}

function nameOf(model: string): string {
  return model === embeddedModel || /^[./]/.test(model) ? basename(resolve(model)) : model;
}
