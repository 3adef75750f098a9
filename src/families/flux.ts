import { DistriError, expected } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import type { OptionValue } from '../base/option-spec.js';
import type { PictureSize } from '../base/sizes.js';
import { readAutoencoderKLConfig, vaeScaleFactor } from '../models/autoencoder-kl.js';
import { readCLIPTextConfig } from '../models/clip-text.js';
import { fluxModel, readFluxTransformer2DConfig } from '../models/flux-transformer-2d.js';
import { readT5EncoderConfig } from '../models/t5-encoder.js';
import type { Geometry } from '../pipelines/geometry.js';
import type { ConfigSource, Family, Outline } from './family.js';
import { REFERENCE_PROMPT } from './unet.js';

/** What belongs to a transformer of FLUX.1 and has no weights: the values of black-forest-labs/FLUX.1-dev. */
const configs: Readonly<Record<string, JsonObject>> = {
  scheduler: {
    _class_name: 'FlowMatchEulerDiscreteScheduler',
    base_image_seq_len: 256,
    base_shift: 0.5,
    max_image_seq_len: 4096,
    max_shift: 1.15,
    num_train_timesteps: 1000,
    shift: 3,
    use_dynamic_shifting: true,
  },
  text_encoder: { hidden_size: 768, num_attention_heads: 12 },
  text_encoder_2: { d_model: 4096, feed_forward_proj: 'gated-gelu' },
  vae: {
    block_out_channels: [128, 256, 512, 512],
    latent_channels: 16,
    layers_per_block: 2,
    scaling_factor: 0.3611,
    shift_factor: 0.1159,
    up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D'],
    use_post_quant_conv: false,
    use_quant_conv: false,
  },
};

/** Tokens of T5 that diffusers' pipeline takes at most. */
const MOST_TEXT_TOKENS = 512;
/** Latents on a side of the pictures that the models were made for, as diffusers' pipeline has it. */
const NATIVE_LATENTS = 128;
/** Sides that are drawn: a token is 16 pixels wide. */
const SIDE_UNIT = 16;

/** FLUX.1 dev and schnell, as diffusers' FluxPipeline. */
export const flux: Family = {
  name: 'flux',
  title: 'FLUX.1',
  pipelineClass: 'FluxPipeline',
  component: 'transformer',
  textEncoders: ['text_encoder', 'text_encoder_2'],
  predicts: 'flow',
  imageToImage: false,
  defaults: {
    numInferenceSteps: 28,
    guidanceScale: 3.5,
    scheduler: 'flow_match_euler',
    prompt: REFERENCE_PROMPT,
  },
  sideUnit: 1,
  sizes: `multiples of ${SIDE_UNIT}`,
  options: [
    {
      name: 'prompt_2',
      text: 'what T5 reads in place of --prompt; once for all prompts, or once for each',
      takes: { type: 'texts' },
    },
    {
      name: 'negative_prompt_2',
      text: 'what T5 reads in place of --negative_prompt',
      takes: { type: 'texts' },
    },
    {
      name: 'max_sequence_length',
      text: `tokens of T5, up to ${MOST_TEXT_TOKENS}`,
      takes: { type: 'integer', least: 1 },
      default: MOST_TEXT_TOKENS,
    },
    {
      name: 'true_cfg_scale',
      text: 'strength of classifier-free guidance away from --negative_prompt; off at 1',
      takes: { type: 'number', least: 1, most: 1000 },
      default: 1,
    },
  ],
  synthetic: {
    example: 'flux-dev',
    isArchitecture: ({ _class_name }) => _class_name === 'FluxTransformer2DModel',
    configs,
    conditioner: async (...given) => (await conditioners()).randomFluxConditioner(...given),
  },
  examples: [
    '--model black-forest-labs/FLUX.1-dev --prompt "a small cactus with a happy face in the Sahara desert"',
    '--model black-forest-labs/FLUX.1-schnell --num_inference_steps 4 --max_sequence_length 256 --prompt "a lighthouse"',
    '--model ./FLUX.1-dev --image_size 768 1344 --guidance_scale 2.5 --seed 7 --output_path cactus.png',
    '--model ./FLUX.1-dev --true_cfg_scale 2 --negative_prompt "blurry, low quality"',
    '--mode benchmark --random_weights flux-mid --image_size 512 --num_inference_steps 4 --test_times 5',
  ],
  drawnSize: ({ height, width }) => ({ height: floored(height), width: floored(width) }),
  trueCfgScale: ({ negativePrompt, familyOptions }) => {
    const scale = Number(familyOptions.trueCfgScale ?? 1);
    if (scale <= 1 || negativePrompt.length > 0) return scale;
    throw new DistriError(
      'usage',
      `--true_cfg_scale ${scale} guides away from --negative_prompt; give one ("" is one), or leave the scale out`,
    );
  },
  outline,
  geometry,
  conditioner: async (...given) => (await conditioners()).FluxConditioner.load(...given),
};

/** The multiple below; what is too small for any stays, to be refused. */
function floored(side: number): number {
  return side < SIDE_UNIT ? side : Math.floor(side / SIDE_UNIT) * SIDE_UNIT;
}

/** What encodes texts is loaded where it is needed: a parent of ranks has no use for it. */
const conditioners = () => import('./flux-conditioner.js');

async function outline(source: ConfigSource): Promise<Outline> {
  const transformer = readFluxTransformer2DConfig(await source.config('transformer'));
  const vae = readAutoencoderKLConfig(await source.config('vae'));
  const clip = readCLIPTextConfig('text_encoder', await source.config('text_encoder'));
  const t5 = readT5EncoderConfig('text_encoder_2', await source.config('text_encoder_2'));
  requireSame(
    'vae/config.json: latent_channels',
    vae.latentChannels,
    'in_channels / 4',
    transformer.latentChannels,
  );
  requireSame(
    'text_encoder/config.json: hidden_size',
    clip.hiddenSize,
    'pooled_projection_dim',
    transformer.pooledFeatures,
  );
  requireSame(
    'text_encoder_2/config.json: d_model',
    t5.features,
    'joint_attention_dim',
    transformer.textFeatures,
  );
  const factor = vaeScaleFactor(vae);
  if (2 * factor !== SIDE_UNIT) {
    throw new DistriError(
      'unsupported',
      `vae/config.json: block_out_channels has ${vae.blockOutChannels.length} levels; 4, as FLUX.1 has, would work`,
    );
  }
  const side = NATIVE_LATENTS * factor;
  return {
    model: fluxModel(transformer),
    native: { height: side, width: side },
    factor,
    textTokens: MOST_TEXT_TOKENS,
    vae,
  };
}

/** Refuses components that do not fit the transformer. */
function requireSame(what: string, value: number, key: string, wanted: number): void {
  if (value === wanted) return;
  throw new DistriError(
    'checkpoint',
    `${what} = ${value}, but the transformer has ${key} = ${wanted} in transformer/config.json`,
  );
}

function geometry(
  { factor, textTokens }: Outline,
  size: PictureSize,
  { maxSequenceLength = textTokens }: Readonly<Record<string, OptionValue>>,
): Geometry {
  const { height, width } = size;
  if (height < SIDE_UNIT || width < SIDE_UNIT || height % SIDE_UNIT !== 0 || width % SIDE_UNIT !== 0) {
    throw expected(`multiples of ${SIDE_UNIT}`, 'the image size', `${height} ${width}`);
  }
  if (Number(maxSequenceLength) > MOST_TEXT_TOKENS) {
    throw expected(`at most ${MOST_TEXT_TOKENS}`, '--max_sequence_length', maxSequenceLength);
  }
  const latent = { rows: height / factor, columns: width / factor };
  return { latent, decoded: size, textTokens: Number(maxSequenceLength) };
}
