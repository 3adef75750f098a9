import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RawConfig } from '../../src/base/config-reader.js';
import { sum } from '../../src/base/numbers.js';
import { WeightPlan, writeRandomWeights } from '../../src/checkpoint/random-weights.js';
import { Graph } from '../../src/graph/graph.js';
import { Kernels } from '../../src/graph/kernels/kernels.js';
import {
  readUNet2DConditionConfig,
  UNet2DConditionModel,
  type UNetInputShapes,
} from '../../src/models/unet-2d-condition.js';
import { SingleDevice } from '../../src/parallel/strategies/single-device.js';
import type { ParallelOptions } from '../../src/pipelines/request.js';
import { TorchGenerator } from '../../src/tensor/random-torch.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';

/** An architecture with random weights, in a folder laid out as a checkpoint's. */
export interface BenchModel {
  readonly config: RawConfig;
  readonly directory: string;
  readonly shape: UNetInputShapes;
}

export interface BenchInputs {
  readonly sample: Tensor<'float32'>;
  readonly encoderHiddenStates: Tensor<'float32'>;
  readonly textEmbeds: Tensor<'float32'>;
  readonly timeIds: Tensor<'float32'>;
}

/** Stale from the second step on. */
export const benchParallel: ParallelOptions = {
  parallelism: 'patch',
  splitScheme: 'alternate',
  splitBatch: false,
  syncMode: 'corrected_async_gn',
  warmupSteps: 0,
};

/** An architecture of configs/. */
export async function namedConfig(name: string): Promise<RawConfig> {
  const file = fileURLToPath(new URL(`../../../configs/${name}.json`, import.meta.url));
  return JSON.parse(await readFile(file, 'utf8')) as RawConfig;
}

/** A square picture of `size` pixels with guidance. */
export function guidedShape(size: number): UNetInputShapes {
  return { batch: 2, rows: size / 8, columns: size / 8, textTokens: 77 };
}

/** Makes weights for an architecture in a temporary folder; `remove` deletes them. */
export async function makeModel(
  config: RawConfig,
  shape: UNetInputShapes,
): Promise<{ model: BenchModel; weightBytes: number; remove: () => Promise<void> }> {
  const plan = new WeightPlan();
  const kernels = new Kernels(new Graph());
  new UNet2DConditionModel(readUNet2DConditionConfig(config), new SingleDevice(kernels, plan), kernels).build(
    shape,
  );
  const directory = await mkdtemp(join(tmpdir(), 'distri-bench-'));
  await mkdir(join(directory, 'unet'));
  await writeRandomWeights(join(directory, 'unet', 'diffusion_pytorch_model.safetensors'), plan.entries);
  const weightBytes = sum(plan.entries.map(({ length }) => length));
  return {
    model: { config, directory, shape },
    weightBytes,
    remove: () => rm(directory, { recursive: true }),
  };
}

/** The same inputs for everyone who is measured. */
export function randomInputs({ config, shape }: BenchModel): BenchInputs {
  const { batch, rows, columns, textTokens } = shape;
  const { inChannels, crossAttentionDim, textTime } = readUNet2DConditionConfig(config);
  const generator = new TorchGenerator(0n);
  const pooled = textTime ? textTime.inputDim - 6 * textTime.timeEmbedDim : 0;
  const [height, width] = [8 * rows, 8 * columns];
  const sizes = Array.from({ length: batch }, () => [height, width, 0, 0, height, width]).flat();
  return {
    sample: generator.randn([batch, inChannels, rows, columns]),
    encoderHiddenStates: generator.randn([batch, textTokens, crossAttentionDim]),
    textEmbeds: generator.randn([batch, pooled]),
    timeIds: float32([batch, 6], Float32Array.from(sizes)),
  };
}
