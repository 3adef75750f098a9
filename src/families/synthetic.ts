import { createHash } from 'node:crypto';

import { join } from 'node:path';
import { defaultCacheDir, makeCacheFolder, randomWeightsDir } from '../base/cache-dir.js';
import { requireSpace } from '../base/disk-space.js';
import { DistriError } from '../base/errors.js';
import { fileError, writeAtomically } from '../base/file-io.js';
import { readJsonObject } from '../base/json.js';
import type { ComponentSource } from '../checkpoint/component-source.js';
import { removeAbandoned } from '../checkpoint/conversion.js';
import { SafetensorsFile, type TensorEntry } from '../checkpoint/formats/safetensors.js';
import { WeightPlan, writeRandomWeights } from '../checkpoint/random-weights.js';
import { loadWeights, weightBytes } from '../checkpoint/weights.js';
import { Graph } from '../graph/graph.js';
import { Kernels } from '../graph/kernels/kernels.js';
import type { NoiseModel } from '../models/noise-model.js';
import { SingleDevice } from '../parallel/layers/single-device.js';
import { type Architecture, architectureConfigs } from './architectures.js';
import type { Family } from './family.js';

/** Raised when the numbers that are written change. */
const GENERATOR = '1';
const WEIGHTS_NAME = 'diffusion_pytorch_model.safetensors';

export interface SyntheticOptions {
  /** Where the weights are kept; by default `defaultCacheDir()`. */
  readonly cacheDir?: string;
  /** Called while writing. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/**
 * Makes sure that the cache has random weights for this architecture and returns their folder, for
 * `openSynthetic`. They are written once: weights that are whole and of this config are used again.
 */
export async function prepareSynthetic(
  { name, family, config }: Architecture,
  { cacheDir = defaultCacheDir(), onProgress }: SyntheticOptions = {},
): Promise<string> {
  const directory = syntheticFolder(name, cacheDir);
  const { model } = await family.outline(architectureConfigs({ family, config }));
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

/** Where the random weights of an architecture lie. */
export function syntheticFolder(name: string, cacheDir = defaultCacheDir()): string {
  return join(randomWeightsDir(cacheDir), name);
}

/**
 * What `prepareSynthetic` made: a model that predicts noise, and the configs of its pipeline's other parts.
 */
export function openSynthetic(directory: string, family: Family): ComponentSource {
  return {
    directory,
    modelIndex: {},
    config: async (component) => {
      const config = await readJsonObject(join(directory, family.component, 'config.json'));
      return architectureConfigs({ family, config }).config(component);
    },
    weights: (component, options) => loadWeights(directory, component, options),
  };
}

/** Bytes of a noise model's weights in float32. */
export function noiseModelBytes(model: NoiseModel): number {
  return weightBytes(planNoiseWeights(model));
}

/** Which weights a model has. */
function planNoiseWeights(model: NoiseModel): readonly TensorEntry[] {
  const plan = new WeightPlan();
  const kernels = new Kernels(new Graph());
  // Weights do not depend on the size of the picture.
  const side = 2 ** model.halvings;
  model.build(new SingleDevice(kernels, plan), { batch: 1, rows: side, columns: side, textTokens: 1 });
  return [...plan.entries];
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
