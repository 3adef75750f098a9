import { expected } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import type { PictureSize } from '../base/sizes.js';
import { readAutoencoderKLConfig, vaeScaleFactor } from '../models/autoencoder-kl.js';
import { readCLIPTextConfig } from '../models/clip-text.js';
import { readUNet2DConditionConfig, unetModel } from '../models/unet-2d-condition.js';
import type { Conditioner } from '../pipelines/conditioning.js';
import type { Geometry } from '../pipelines/geometry.js';
import type { ConfigSource, Family, Outline } from './family.js';
import type { UNetConditioner } from './unet-conditioner.js';

/** SDXL base's size, for models that do not say theirs. */
const REFERENCE_SIZE = 1024;

/** Of CLIP's texts, for architectures that are known by their UNet alone. */
const CLIP_TOKENS = 77;

/** What the families of Stable Diffusion's UNet have in common. */
export const unetFamily = {
  component: 'unet',
  predicts: 'noise',
  imageToImage: true,
  sideUnit: 8,
  sizes: 'multiples of 8',
  options: [],
  outline: unetOutline,
  geometry: unetGeometry,
} as const satisfies Partial<Family>;

/** The default of distrifuser's scripts. */
export const REFERENCE_PROMPT = 'Astronaut in a jungle, cold color palette, muted colors, detailed, 8k';

export function isUNet({ _class_name }: JsonObject): boolean {
  return _class_name === 'UNet2DConditionModel';
}

async function unetOutline(source: ConfigSource): Promise<Outline> {
  const unet = readUNet2DConditionConfig(await source.config('unet'));
  const vae = readAutoencoderKLConfig(await source.config('vae'));
  const text = await source.config('text_encoder');
  const factor = vaeScaleFactor(vae);
  const side = unet.sampleSize === undefined ? REFERENCE_SIZE : unet.sampleSize * factor;
  return {
    model: unetModel(unet),
    native: { height: side, width: side },
    factor,
    textTokens: readCLIPTextConfig('text_encoder', text).maxPositions,
    vae,
  };
}

function unetGeometry({ factor, textTokens }: Outline, size: PictureSize): Geometry {
  const { sideUnit } = unetFamily;
  if (size.height % sideUnit !== 0 || size.width % sideUnit !== 0) {
    throw expected(`multiples of ${sideUnit}`, 'the image size', `${size.height} ${size.width}`);
  }
  const latent = { rows: Math.floor(size.height / factor), columns: Math.floor(size.width / factor) };
  return { latent, decoded: size, textTokens };
}

/** Of a text encoder that is not there. */
const clipConfig: JsonObject = {
  hidden_size: 768,
  intermediate_size: 3072,
  max_position_embeddings: CLIP_TOKENS,
  num_attention_heads: 12,
  num_hidden_layers: 12,
};

const vaeConfig: JsonObject = {
  block_out_channels: [128, 256, 512, 512],
  latent_channels: 4,
  layers_per_block: 2,
  up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D'],
};

const schedulerConfig: JsonObject = {
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  beta_start: 0.00085,
  clip_sample: false,
  interpolation_type: 'linear',
  num_train_timesteps: 1000,
  prediction_type: 'epsilon',
  sample_max_value: 1,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  timestep_spacing: 'leading',
  use_karras_sigmas: false,
};

/** What belongs to a UNet and has no weights: values of the public checkpoints. */
export function unetConfigs(
  schedulerClass: string,
  scalingFactor: number,
): Readonly<Record<string, JsonObject>> {
  return {
    scheduler: { ...schedulerConfig, _class_name: schedulerClass },
    vae: { ...vaeConfig, scaling_factor: scalingFactor },
    text_encoder: clipConfig,
  };
}

/** What encodes texts is loaded where it is needed: a parent of ranks has no use for it. */
export const loadUNetConditioner: typeof UNetConditioner.load = async (...given) => {
  const { UNetConditioner } = await import('./unet-conditioner.js');
  return UNetConditioner.load(...given);
};

/** Random texts, the same on all ranks. */
export async function randomUNetConditioner(source: ConfigSource): Promise<Conditioner> {
  const { randomConditioner } = await import('./unet-conditioner.js');
  return randomConditioner(readUNet2DConditionConfig(await source.config('unet')), CLIP_TOKENS);
}
