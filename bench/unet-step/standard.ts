/** The benchmark's other side: the same model in standard operators in onnxruntime-node, in a process of its own. */
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { TensorEntry } from '../../src/checkpoint/formats/safetensors.js';
import { loadWeights, type WeightSource } from '../../src/checkpoint/weights.js';
import { type CompiledGraph, Graph } from '../../src/graph/graph.js';
import {
  readUNet2DConditionConfig,
  UNet2DConditionModel,
  unetNames,
} from '../../src/models/unet-2d-condition.js';
import { SingleDevice } from '../../src/parallel/strategies/single-device.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';
import { type BenchModel, randomInputs } from './model.js';
import { StandardKernels } from './standard-kernels.js';

export type StandardJob =
  | { readonly type: 'load'; readonly model: BenchModel; readonly threads: number }
  | { readonly type: 'step' };

let session: InferenceSession;
let feeds: Record<string, OrtTensor> = {};

/** onnxruntime-node looks for external data beside the model file. */
class BesideModel implements WeightSource {
  readonly #source: WeightSource;

  constructor(source: WeightSource) {
    this.#source = source;
  }

  get(name: string, shape: readonly number[]): TensorEntry {
    const entry = this.#source.get(name, shape);
    return { ...entry, file: basename(entry.file) };
  }

  has(name: string): boolean {
    return this.#source.has(name);
  }

  names(): Iterable<string> {
    return this.#source.names();
  }

  get bytes(): number {
    return this.#source.bytes;
  }
}

async function load({ config, directory, shape }: BenchModel, threads: number): Promise<void> {
  const kernels = new StandardKernels(new Graph());
  const layers = new SingleDevice(kernels, new BesideModel(await loadWeights(directory, 'unet')));
  new UNet2DConditionModel(readUNet2DConditionConfig(config), layers, kernels).build(shape);
  const program = kernels.graph.compile();
  const inputs = randomInputs({ config, directory, shape });
  feeds = toOrt({
    [unetNames.sample]: inputs.sample,
    [unetNames.timestep]: float32([1], Float32Array.of(500)),
    [unetNames.encoderHiddenStates]: inputs.encoderHiddenStates,
    [unetNames.textEmbeds]: inputs.textEmbeds,
    [unetNames.timeIds]: inputs.timeIds,
  });
  if (program.image) {
    const image = await open(program.image, join(directory, 'unet', 'image.onnx'), threads);
    feeds = { ...feeds, ...(await image.run(pick(feeds, program.image))) };
  }
  session = await open(program.step, join(directory, 'unet', 'step.onnx'), threads);
  feeds = pick(feeds, program.step);
}

async function open(graph: CompiledGraph, file: string, threads: number): Promise<InferenceSession> {
  await writeFile(file, graph.model);
  return InferenceSession.create(file, { intraOpNumThreads: threads, graphOptimizationLevel: 'all' });
}

function pick(values: Record<string, OrtTensor>, { inputs }: CompiledGraph): Record<string, OrtTensor> {
  return Object.fromEntries(inputs.map(({ name }) => [name, values[name] as OrtTensor]));
}

function toOrt(tensors: Record<string, Tensor<'float32'>>): Record<string, OrtTensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { data, shape }]) => [name, new OrtTensor('float32', data, shape)]),
  );
}

process.on('message', async (job: StandardJob) => {
  if (job.type === 'load') await load(job.model, job.threads);
  const started = performance.now();
  await session.run(feeds);
  process.send?.(performance.now() - started);
});
