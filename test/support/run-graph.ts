import { type Checkpoint, openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { loadAddon } from '../../src/engine/load.js';
import { Executable } from '../../src/engine/onnxruntime/executable.js';
import { Graph, type Value } from '../../src/graph/graph.js';
import { Kernels } from '../../src/graph/kernels/kernels.js';
import type { Layers } from '../../src/parallel/layers/layers.js';
import { SingleDevice } from '../../src/parallel/strategies/single-device.js';
import type { Tensor } from '../../src/tensor/tensor.js';

/** Builds one component of a checkpoint on a single device, with the named inner values as further outputs, and runs it. */
export async function runComponent(
  directory: string,
  component: string,
  build: (checkpoint: Checkpoint, layers: Layers, kernels: Kernels) => Promise<void>,
  inner: readonly string[],
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Readonly<Record<string, Tensor>>> {
  const checkpoint = await openCheckpoint(directory);
  const kernels = new Kernels(new Graph());
  const layers = new SingleDevice(kernels, await checkpoint.weights(component));
  await build(checkpoint, layers, kernels);
  return runGraph(kernels.graph, inner, inputs);
}

/** Runs a graph once, both of its parts, and returns its outputs and the named inner values. */
export async function runGraph(
  graph: Graph,
  inner: readonly string[],
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Readonly<Record<string, Tensor>>> {
  for (const name of inner) graph.output(graph.value(name) as Value);
  const program = graph.compile();
  const options = { threads: 1, weights: 'private', rank: 0, communicator: undefined } as const;
  let results: Readonly<Record<string, Tensor>> = {};
  for (const part of [program.image, program.step]) {
    if (!part) continue;
    const executable = await Executable.load(loadAddon(), part, options);
    results = { ...results, ...(await executable.run({ ...inputs, ...results })) };
    executable.release();
  }
  return results;
}
