import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultCacheDir, removeAbandoned } from '../checkpoint/conversion-cache.js';
import { requireSpace } from '../checkpoint/disk-space.js';
import { fileError, writeAtomically } from '../checkpoint/file-io.js';
import { type JsonObject, readJsonObject } from '../checkpoint/json.js';
import { WeightPlan, weightBytes, writeRandomWeights } from '../checkpoint/random-weights.js';
import { SafetensorsFile, type TensorEntry } from '../checkpoint/safetensors.js';
import { loadWeights } from '../checkpoint/weights.js';
import { Graph } from '../graph/graph.js';
import { Kernels } from '../graph/kernels.js';
import { halvings, readUNet2DConditionConfig, UNet2DConditionModel } from '../models/unet-2d-condition.js';
import { SingleDevice } from '../parallel/single-device.js';
import { DistriError } from '../runtime/errors.js';
import type { ComponentSource } from './noise-model.js';

/** Raised when the numbers that are written change. */
const GENERATOR = '1';
const WEIGHTS_NAME = 'diffusion_pytorch_model.safetensors';

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

export interface RandomModelOptions {
  /** Where the weights are kept; by default `defaultCacheDir()`. */
  readonly cacheDir?: string;
  /** Called while writing. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/**
 * Makes sure that the cache has random weights for a UNet of this config and returns their folder, for `openRandomModel`.
 * They are written once: weights that are whole and of this config are used again.
 */
export async function prepareRandomModel(
  name: string,
  config: JsonObject,
  { cacheDir = defaultCacheDir(), onProgress }: RandomModelOptions = {},
): Promise<string> {
  const directory = join(cacheDir, 'random-weights', name);
  const folder = join(directory, 'unet');
  const weights = join(folder, WEIGHTS_NAME);
  const entries = planUNetWeights(config);
  const identity = identify(entries);
  try {
    await mkdir(folder, { recursive: true });
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

/** What `prepareRandomModel` made: a UNet, and the configs of SDXL's other parts. */
export function openRandomModel(directory: string): ComponentSource {
  return {
    config: async (component) => {
      const unet = await readJsonObject(join(directory, 'unet', 'config.json'));
      return sdxlWith(unet).config(component);
    },
    weights: (component) => loadWeights(directory, component),
  };
}

/** The configs of an SDXL with this UNet. */
export function sdxlWith(unet: JsonObject): Pick<ComponentSource, 'config'> {
  return {
    config: async (component) => {
      const config = component === 'unet' ? unet : sdxlConfigs[component];
      if (config === undefined) throw new Error(`an architecture has no ${component}`);
      return config;
    },
  };
}

/** Bytes of a UNet's weights in float32. */
export function unetBytes(config: JsonObject): number {
  return weightBytes(planUNetWeights(config));
}

/** Which weights a UNet of this config has. */
function planUNetWeights(config: JsonObject): readonly TensorEntry[] {
  const unet = readUNet2DConditionConfig(config);
  const plan = new WeightPlan();
  const kernels = new Kernels(new Graph());
  // Weights do not depend on the size of the picture.
  const side = 2 ** halvings(unet);
  new UNet2DConditionModel(unet, new SingleDevice(kernels, plan), kernels).build({
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
