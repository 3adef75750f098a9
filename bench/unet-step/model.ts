import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expected } from '../../src/base/errors.js';
import type { JsonObject } from '../../src/base/json.js';
import type { ComponentSource } from '../../src/checkpoint/component-source.js';
import { WeightPlan } from '../../src/checkpoint/random-weights.js';
import { readArchitecture } from '../../src/families/architectures.js';
import { families, familyNamed } from '../../src/families/registry.js';
import { noiseModelBytes, openSynthetic, prepareSynthetic } from '../../src/families/synthetic.js';
import { Graph } from '../../src/graph/graph.js';
import { Kernels } from '../../src/graph/kernels/kernels.js';
import type { LatentShape, NoiseModel } from '../../src/models/noise-model.js';
import { SingleDevice } from '../../src/parallel/layers/single-device.js';
import { completeOptions, type ParallelOptions } from '../../src/parallel/registry.js';
import { TorchGenerator } from '../../src/tensor/random-torch.js';
import type { Tensor } from '../../src/tensor/tensor.js';

/** An architecture with random weights in a folder of its own, and the latents that it is measured on. */
export interface BenchModel {
  readonly family: string;
  readonly directory: string;
  readonly shape: LatentShape;
}

export interface OpenBenchModel {
  readonly source: ComponentSource;
  readonly model: NoiseModel;
}

/** Stale from the second step on. */
export const benchParallel: ParallelOptions = {
  ...completeOptions('patch', { warmupSteps: 0 }),
  parallelism: 'patch',
  splitBatch: false,
};

/** An architecture of configs/. */
export async function namedConfig(name: string): Promise<JsonObject> {
  return (await readArchitecture(name)).config;
}

/** A square picture of `size` pixels with guidance, and a text as long as CLIP's. */
export function guidedShape(size: number): LatentShape {
  return { batch: 2, rows: size / 8, columns: size / 8, textTokens: 77 };
}

/** Makes weights for an architecture in a temporary folder; `remove` deletes them. */
export async function makeModel(
  config: JsonObject,
  shape: LatentShape,
): Promise<{ model: BenchModel; weightBytes: number; remove: () => Promise<void> }> {
  const family = families.find(({ synthetic }) => synthetic.isArchitecture(config));
  if (family === undefined) throw expected('a config of a noise model', '_class_name', config._class_name);
  const cacheDir = await mkdtemp(join(tmpdir(), 'distri-bench-'));
  const remove = () => rm(cacheDir, { recursive: true });
  try {
    const directory = await prepareSynthetic({ name: 'bench', family, config }, { cacheDir });
    const model = { family: family.name, directory, shape };
    return { model, weightBytes: noiseModelBytes((await openModel(model)).model), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

export async function openModel({ family: name, directory }: BenchModel): Promise<OpenBenchModel> {
  const family = familyNamed(name);
  const source = openSynthetic(directory, family);
  const { model } = await family.outline(source);
  return { source, model };
}

/** Random numbers for all that a model is told, by name: the same for everyone who is measured. */
export function randomInputs(
  model: NoiseModel,
  shape: LatentShape,
): Readonly<Record<string, Tensor<'float32'>>> {
  const graph = new Graph();
  model.build(new SingleDevice(new Kernels(graph), new WeightPlan()), shape);
  const { image, step } = graph.program();
  const handedOver = new Set(image?.outputs.map(({ name }) => name));
  const inputs = new Map(
    [...(image?.inputs ?? []), ...step.inputs].map((value) => [value.name, value.shape]),
  );
  const generator = new TorchGenerator(0n);
  return Object.fromEntries(
    [...inputs]
      .filter(([name]) => !handedOver.has(name))
      .map(([name, size]) => [name, generator.randn(size)]),
  );
}
