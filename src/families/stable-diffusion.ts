import type { TextEncoderSpec } from '../pipelines/text/prompt-embeds.js';
import type { Family } from './family.js';
import {
  isUNet,
  loadUNetConditioner,
  REFERENCE_PROMPT,
  randomUNetConditioner,
  unetConfigs,
  unetFamily,
} from './unet.js';

/** The last hidden state, normed. */
const encoders: readonly TextEncoderSpec[] = [
  { suffix: '', pooled: false, outputs: () => ({ hiddenLayer: 'last', pooled: false }) },
];

/** Stable Diffusion 1.x and 2.x, as diffusers' StableDiffusionPipeline without its safety checker. */
export const stableDiffusion: Family = {
  ...unetFamily,
  name: 'sd',
  title: 'Stable Diffusion 1.x and 2.x',
  pipelineClass: 'StableDiffusionPipeline',
  textEncoders: ['text_encoder'],
  defaults: {
    numInferenceSteps: 50,
    guidanceScale: 7.5,
    scheduler: undefined,
    prompt: REFERENCE_PROMPT,
  },
  synthetic: {
    example: 'sd-1.5',
    isArchitecture: (config) => isUNet(config) && config.addition_embed_type === undefined,
    // Nothing runs the VAE.
    configs: unetConfigs('PNDMScheduler', 0.18215),
    conditioner: randomUNetConditioner,
  },
  examples: [
    '--model ./stable-diffusion-v1-5 --init_image sketch.png --strength 0.6 --prompt "a lighthouse at dusk"',
    '--model stable-diffusion-v1-5/stable-diffusion-v1-5 --prompt "a lighthouse at dusk"',
    '-n 4 --model ./stable-diffusion-2-1 --scheduler euler --num_inference_steps 30 --seed 7 --output_path lighthouse.png',
    '--mode benchmark --random_weights sd-1.5 --image_size 256 --num_inference_steps 10 --test_times 3',
  ],
  conditioner: (device, source, encodes, options) =>
    loadUNetConditioner(device, source, encodes, options, { encoders, zeroesEmptyPrompt: false }),
};
