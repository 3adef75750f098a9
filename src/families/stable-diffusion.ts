import type { TextEncoderSpec } from '../pipelines/text/prompt-embeds.js';
import type { Family } from './family.js';
import { isUNet, REFERENCE_PROMPT, randomUNetConditioner, unetConfigs, unetFamily } from './unet.js';
import { UNetConditioner } from './unet-conditioner.js';

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
  conditioner: (device, source, encodes, options) =>
    UNetConditioner.load(device, source, encodes, options, { encoders, zeroesEmptyPrompt: false }),
};
