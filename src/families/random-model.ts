import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { defaultCacheDir, makeCacheFolder } from '../base/cache-dir.js';
import { requireSpace } from '../base/disk-space.js';
import { DistriError } from '../base/errors.js';
import { fileError, writeAtomically } from '../base/file-io.js';
import { type JsonObject, readJsonObject } from '../base/json.js';
import { removeAbandoned } from '../checkpoint/conversion.js';
import { SafetensorsFile, type TensorEntry } from '../checkpoint/formats/safetensors.js';
import type { PipelineClass } from '../checkpoint/pipeline-classes.js';
import { WeightPlan, writeRandomWeights } from '../checkpoint/random-weights.js';
import { loadWeights, weightBytes } from '../checkpoint/weights.js';
import { Graph } from '../graph/graph.js';
import { Kernels } from '../graph/kernels/kernels.js';
import { type ComponentSource, type NoiseModel, pixArtModel, unetModel } from '../models/noise-model.js';
import { readPixArtTransformer2DConfig } from '../models/pixart-transformer-2d.js';
import { readUNet2DConditionConfig } from '../models/unet-2d-condition.js';
import { SingleDevice } from '../parallel/strategies/single-device.js';

/** Raised when the numbers that are written change. */
const GENERATOR = '1';
const WEIGHTS_NAME = 'diffusion_pytorch_model.safetensors';

/** What belongs to a transformer of PixArt-alpha and has no weights: the values of PixArt-alpha/PixArt-XL-2-1024-MS. */
const pixArtConfigs: Readonly<Record<string, JsonObject>> = {
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

/** What belongs to a UNet of SDXL and has no weights: the values of stabilityai/stable-diffusion-xl-base-1.0. */
const sdxlConfigs: Readonly<Record<string, JsonObject>> = {
  scheduler: {
    _class_name: 'EulerDiscreteScheduler',
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
  },
  vae: {
    block_out_channels: [128, 256, 512, 512],
    latent_channels: 4,
    layers_per_block: 2,
    scaling_factor: 0.13025,
    up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D'],
  },
};

/** For UNets without SDXL's added conditions: what Stable Diffusion 1.5 has. Nothing here runs the VAE, whose scaling is another there. */
const sdConfigs: Readonly<Record<string, JsonObject>> = {
  ...sdxlConfigs,
  scheduler: { ...sdxlConfigs.scheduler, _class_name: 'PNDMScheduler' },
};

export interface RandomModelOptions {
  /** Where the weights are kept; by default `defaultCacheDir()`. */
  readonly cacheDir?: string;
  /** Called while writing. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/**
 * Makes sure that the cache has random weights for a UNet or transformer of this config and returns their folder, for `openRandomModel`.
 * They are written once: weights that are whole and of this config are used again.
 */
export async function prepareRandomModel(
  name: string,
  config: JsonObject,
  { cacheDir = defaultCacheDir(), onProgress }: RandomModelOptions = {},
): Promise<string> {
  const directory = join(cacheDir, 'random-weights', name);
  const model = noiseModel(config);
  const folder = join(directory, model.component);
  const weights = join(folder, WEIGHTS_NAME);
  const entries = planNoiseWeights(model);
  const identity = identify(entries);
  try {
    await makeCacheFolder(folder);
    await removeAbandoned(folder, WEIGHTS_NAME);
    await writeText(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
    if (!(await isCurrent(weights, identity))) {
      await requireSpace(
        folder,
        weightBytes(entries),
        `writing random weights of ${name}`,
        'make room or set DISTRI_CACHE to a folder on another disk',
      );
      await writeRandomWeights(weights, entries, { metadata: { random_weights: identity }, onProgress });
    }
  } catch (error) {
    throw fileError(error, weights, 'output');
  }
  return directory;
}

/** What `prepareRandomModel` made: a model that predicts noise, and the configs of its pipeline's other parts. */
export function openRandomModel(
  directory: string,
  pipelineClass: PipelineClass = 'StableDiffusionXLPipeline',
): ComponentSource {
  const component = pipelineClass === 'PixArtAlphaPipeline' ? 'transformer' : 'unet';
  return {
    pipelineClass,
    config: async (name) => {
      const config = await readJsonObject(join(directory, component, 'config.json'));
      return pipelineWith(config).config(name);
    },
    weights: (name) => loadWeights(directory, name),
  };
}

/** The configs of a pipeline with this UNet or transformer. */
export function pipelineWith(model: JsonObject): Pick<ComponentSource, 'config'> {
  const others = otherConfigs(model);
  const own = isTransformer(model) ? 'transformer' : 'unet';
  return {
    config: async (component) => {
      const config = component === own ? model : others[component];
      if (config === undefined) throw new Error(`an architecture has no ${component}`);
      return config;
    },
  };
}

function otherConfigs(model: JsonObject): Readonly<Record<string, JsonObject>> {
  if (isTransformer(model)) return pixArtConfigs;
  return model.addition_embed_type === 'text_time' ? sdxlConfigs : sdConfigs;
}

function isTransformer(config: JsonObject): boolean {
  return config._class_name === 'PixArtTransformer2DModel';
}

function noiseModel(config: JsonObject): NoiseModel {
  return isTransformer(config)
    ? pixArtModel(readPixArtTransformer2DConfig(config))
    : unetModel(readUNet2DConditionConfig(config));
}

/** Bytes of a UNet's or transformer's weights in float32. */
export function noiseModelBytes(config: JsonObject): number {
  return weightBytes(planNoiseWeights(noiseModel(config)));
}

/** Which weights a model has. */
function planNoiseWeights(model: NoiseModel): readonly TensorEntry[] {
  const plan = new WeightPlan();
  const kernels = new Kernels(new Graph());
  // Weights do not depend on the size of the picture.
  const side = 2 ** model.halvings;
  model.build(new SingleDevice(kernels, plan), kernels, {
    batch: 1,
    rows: side,
    columns: side,
    textTokens: 1,
  });
  return plan.entries;
}

/** Differs when any weight's name, shape or number differs. */
function identify(entries: readonly TensorEntry[]): string {
  const layout = entries.map(({ name, shape }) => `${name} ${shape.join('x')}`);
  return createHash('sha256')
    .update([GENERATOR, ...layout].join('\n'))
    .digest('hex');
}

async function isCurrent(path: string, identity: string): Promise<boolean> {
  try {
    return (await SafetensorsFile.open(path)).metadata.random_weights === identity;
  } catch (error) {
    // Absent or cut short: it is written anew.
    if (error instanceof DistriError) return false;
    throw error;
  }
}

function writeText(path: string, text: string): Promise<void> {
  return writeAtomically(path, async (handle) => {
    await handle.writeFile(text);
  });
}
