import { expected } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import type { OptionValue } from '../base/option-spec.js';
import type { PictureSize } from '../base/sizes.js';
import { readAutoencoderKLConfig, vaeScaleFactor } from '../models/autoencoder-kl.js';
import { pixArtModel, readPixArtTransformer2DConfig } from '../models/pixart-transformer-2d.js';
import type { Geometry } from '../pipelines/geometry.js';
import { CAPTION_TOKENS } from './caption.js';
import type { ConfigSource, Family, Outline } from './family.js';
import { resolutionBin } from './resolution-bins.js';
import { REFERENCE_PROMPT } from './unet.js';

/**
 * What belongs to a transformer of PixArt-alpha and has no weights: the values of
 * PixArt-alpha/PixArt-XL-2-1024-MS.
 */
const configs: Readonly<Record<string, JsonObject>> = {
  scheduler: {
    _class_name: 'DPMSolverMultistepScheduler',
    algorithm_type: 'dpmsolver++',
    beta_end: 0.02,
    beta_schedule: 'linear',
    beta_start: 0.0001,
    lower_order_final: true,
    num_train_timesteps: 1000,
    prediction_type: 'epsilon',
    solver_order: 2,
    solver_type: 'midpoint',
    steps_offset: 0,
    timestep_spacing: 'linspace',
    use_karras_sigmas: false,
  },
  vae: {
    block_out_channels: [128, 256, 512, 512],
    latent_channels: 4,
    layers_per_block: 2,
    scaling_factor: 0.18215,
    up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D'],
  },
};

/** PixArt-alpha, as diffusers' PixArtAlphaPipeline without beautifulsoup4 and ftfy, which change captions. */
export const pixArt: Family = {
  name: 'pixart',
  title: 'PixArt-alpha',
  pipelineClass: 'PixArtAlphaPipeline',
  component: 'transformer',
  textEncoders: ['text_encoder'],
  predicts: 'noise',
  imageToImage: false,
  defaults: {
    numInferenceSteps: 20,
    guidanceScale: 4.5,
    scheduler: 'dpm-solver',
    prompt: REFERENCE_PROMPT,
  },
  sideUnit: 1,
  sizes: 'multiples of 16 without resolution binning',
  options: [
    {
      name: 'use_resolution_binning',
      text: 'draw at the nearest size that the model was trained at, and scale and cut the picture',
      textOff: 'draw at the size that is asked for, whatever the model was trained at',
      takes: { type: 'flag' },
      default: true,
    },
  ],
  synthetic: {
    example: 'pixart-xl-2',
    isArchitecture: ({ _class_name }) => _class_name === 'PixArtTransformer2DModel',
    configs,
    conditioner: async (source) => (await conditioners()).randomPixArtConditioner(source),
  },
  examples: [
    '--model PixArt-alpha/PixArt-XL-2-1024-MS --prompt "a small cactus with a happy face in the Sahara desert"',
    '--model ./PixArt-XL-2-512x512 --image_size 512 --seed 7 --output_path cactus.png',
    '-n 4 --parallelism tensor --model PixArt-alpha/PixArt-XL-2-1024-MS --prompt "a lighthouse at dusk"',
    '-n 4 --parallelism pipefusion --num_pipeline_patch 8 --model PixArt-alpha/PixArt-XL-2-1024-MS --prompt "a lighthouse at dusk"',
    '-n 8 --parallelism sequence --ulysses_degree 2 --ring_degree 2 --model PixArt-alpha/PixArt-XL-2-1024-MS --prompt "a lighthouse at dusk"',
    '--model ./PixArt-XL-2-1024-MS --image_size 768 1344 --no_resolution_binning --output_type latent',
    '--mode benchmark --random_weights pixart-mid --num_inference_steps 10 --test_times 5',
  ],
  outline,
  geometry,
  conditioner: async (device, source, encodes, options) =>
    (await conditioners()).PixArtConditioner.load(device, source, encodes, options),
};

/** What encodes texts is loaded where it is needed: a parent of ranks has no use for it. */
const conditioners = () => import('./pixart-conditioner.js');

async function outline(source: ConfigSource): Promise<Outline> {
  const transformer = readPixArtTransformer2DConfig(await source.config('transformer'));
  const vae = readAutoencoderKLConfig(await source.config('vae'));
  const factor = vaeScaleFactor(vae);
  const side = transformer.sampleSize * factor;
  return {
    model: pixArtModel(transformer),
    native: { height: side, width: side },
    factor,
    textTokens: CAPTION_TOKENS,
    vae,
  };
}

function geometry(
  { model, factor, native, textTokens }: Outline,
  size: PictureSize,
  { useResolutionBinning }: Readonly<Record<string, OptionValue>>,
): Geometry {
  const drawn = useResolutionBinning === false ? size : resolutionBin(native.height / factor, size);
  const unit = factor * (model.blocks?.patchSize ?? 1);
  if (drawn.height % unit !== 0 || drawn.width % unit !== 0) {
    throw expected(
      `multiples of ${unit}, or resolution binning,`,
      'the image size',
      `${drawn.height} ${drawn.width}`,
    );
  }
  const latent = { rows: drawn.height / factor, columns: drawn.width / factor };
  return { latent, decoded: drawn, textTokens };
}
