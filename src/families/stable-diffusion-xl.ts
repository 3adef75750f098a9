import { embeddedModel } from '../base/package.js';
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

/** The last but one hidden states of both encoders side by side, and the pooled projection of the second. */
const encoders: readonly TextEncoderSpec[] = [
  { suffix: '', pooled: false, outputs: ({ layers }) => ({ hiddenLayer: layers - 1, pooled: false }) },
  { suffix: '_2', pooled: true, outputs: ({ layers }) => ({ hiddenLayer: layers - 1, pooled: true }) },
];

/** SDXL, as diffusers' StableDiffusionXLPipeline; defaults of distrifuser's scripts/run_sdxl.py. */
export const stableDiffusionXL: Family = {
  ...unetFamily,
  name: 'sdxl',
  title: 'SDXL',
  pipelineClass: 'StableDiffusionXLPipeline',
  textEncoders: ['text_encoder', 'text_encoder_2'],
  embedded: { model: embeddedModel, prompt: 'a yellow star on a night sky' },
  defaults: {
    numInferenceSteps: 50,
    guidanceScale: 5,
    scheduler: 'ddim',
    prompt: REFERENCE_PROMPT,
  },
  synthetic: {
    example: 'sdxl-base-1.0',
    isArchitecture: (config) => isUNet(config) && config.addition_embed_type === 'text_time',
    configs: unetConfigs('EulerDiscreteScheduler', 0.13025),
    conditioner: randomUNetConditioner,
  },
  examples: [
    '',
    '--prompt "a small red heart on a beach" --seed 7 --output_path heart.png',
    '-n 4 --model stabilityai/stable-diffusion-xl-base-1.0 --prompt "a lighthouse at dusk"',
    '-n 2 --no_split_batch --sync_mode full_sync --output_type latent --output_path latents.safetensors',
    '-n 4 --data_parallel 2 --prompts prompts.txt --output_path pictures',
    '--init_image sketch.png --strength 0.6 --prompt "a yellow star on a night sky"',
    '--mode benchmark -n 2 --json benchmark.json',
    '--mode benchmark --random_weights sdxl-mid --image_size 512 --num_inference_steps 10 --test_times 5',
  ],
  conditioner: (device, source, encodes, options) => {
    const zeroesEmptyPrompt = source.modelIndex.force_zeros_for_empty_prompt !== false;
    return loadUNetConditioner(device, source, encodes, options, { encoders, zeroesEmptyPrompt });
  },
};
