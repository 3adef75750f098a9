import type { Checkpoint } from '../../src/checkpoint/checkpoint.js';
import { openDevice } from '../../src/engine/device.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { Graph } from '../../src/graph/graph.js';
import type { Value } from '../../src/graph/value.js';
import type { Layers } from '../../src/parallel/layers/layers.js';
import { SingleDevice } from '../../src/parallel/layers/single-device.js';
import type { Tensor } from '../../src/tensor/tensor.js';

/**
 * Builds one component of a checkpoint on a single device, with the named inner values as further outputs,
 * and runs it.
 */
export async function runComponent(
  directory: string,
  component: string,
  build: (checkpoint: Checkpoint, layers: Layers) => Promise<void>,
  inner: readonly string[],
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Readonly<Record<string, Tensor>>> {
  const checkpoint = await openCheckpoint(directory);
  const device = openDevice();
  const kernels = device.kernels(new Graph(device.elementType));
  const layers = new SingleDevice(kernels, await checkpoint.weights(component));
  await build(checkpoint, layers);
  return runGraph(kernels.graph, inner, inputs);
}

/** Runs a graph once, both of its parts, and returns its outputs and the named inner values. */
export async function runGraph(
  graph: Graph,
  inner: readonly string[],
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Readonly<Record<string, Tensor>>> {
  for (const name of inner) graph.output(graph.value(name) as Value);
  const program = graph.program();
  const device = openDevice();
  const options = { threads: 1, weights: 'private', rank: 0, communicator: undefined } as const;
  let results: Readonly<Record<string, Tensor>> = {};
  for (const part of [program.image, program.step]) {
    if (!part) continue;
    const executable = await device.load(part, options);
    results = { ...results, ...(await executable.run({ ...inputs, ...results })) };
    executable.release();
  }
  return results;
}
