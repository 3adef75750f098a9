/**
 * The benchmark's other side: the same model in standard operators in onnxruntime-node, in a process of its
 * own.
 */
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { TensorEntry } from '../../src/checkpoint/formats/safetensors.js';
import type { WeightSource } from '../../src/checkpoint/weights.js';
import { Graph, type GraphPart } from '../../src/graph/graph.js';
import { serializePart } from '../../src/graph/onnx/serialize.js';
import { SingleDevice } from '../../src/parallel/layers/single-device.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { type BenchModel, openModel, randomInputs } from './model.js';
import { StandardKernels } from './standard-kernels.js';

export type StandardJob =
  | { readonly type: 'load'; readonly model: BenchModel; readonly threads: number }
  | { readonly type: 'step' };

type Feeds = Readonly<Record<string, OrtTensor>>;

let session: InferenceSession;
let feeds: Feeds = {};

/** onnxruntime-node looks for external data beside the model file. */
class BesideModel implements WeightSource {
  readonly #source: WeightSource;

  constructor(source: WeightSource) {
    this.#source = source;
  }

  get(name: string, shape: readonly number[]): TensorEntry {
    return besideModel(this.#source.get(name, shape));
  }

  has(name: string): boolean {
    return this.#source.has(name);
  }

  names(): Iterable<string> {
    return this.#source.names();
  }

  get entries(): readonly TensorEntry[] {
    return [...this.#source.entries].map(besideModel);
  }

  get bytes(): number {
    return this.#source.bytes;
  }
}

function besideModel(entry: TensorEntry): TensorEntry {
  return { ...entry, file: basename(entry.file) };
}

async function load(given: BenchModel, threads: number): Promise<void> {
  const { source, model } = await openModel(given);
  const kernels = new StandardKernels(new Graph());
  const weights = new BesideModel(await source.weights(model.component));
  model.build(new SingleDevice(kernels, weights), given.shape);
  const { image, step } = kernels.graph.program();
  const folder = join(given.directory, model.component);
  feeds = toOrt(randomInputs(model, given.shape));
  if (image) {
    const once = await open(image, folder, threads);
    feeds = { ...feeds, ...((await once.run(pick(feeds, image))) as Feeds) };
  }
  session = await open(step, folder, threads);
  feeds = pick(feeds, step);
}

async function open(part: GraphPart, folder: string, threads: number): Promise<InferenceSession> {
  const file = join(folder, `${part.name}.onnx`);
  await writeFile(file, serializePart(part));
  return InferenceSession.create(file, { intraOpNumThreads: threads, graphOptimizationLevel: 'all' });
}

function pick(values: Feeds, { inputs }: GraphPart): Feeds {
  return Object.fromEntries(inputs.map(({ name }) => [name, values[name] as OrtTensor]));
}

function toOrt(tensors: Readonly<Record<string, Tensor<'float32'>>>): Feeds {
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
