import { test } from 'node:test';
import type {
  Communicator,
  CommunicatorOptions,
  Liveness,
  RunOptions,
  Session,
  SessionOptions,
} from '../../src/engine/addon.js';
import { loadAddon, loadOnnxRuntime } from '../../src/engine/load.js';
import { modelOf } from '../../src/engine/onnxruntime/session-executable.js';
import { Graph } from '../../src/graph/graph.js';
import type { NodeSpec, Value } from '../../src/graph/value.js';
import { readByAll } from '../../src/ranks/channels.js';
import { elementCount, float32, type Shape, type Tensor } from '../../src/tensor/tensor.js';

loadOnnxRuntime();
export const addon = loadAddon();

/** Values that differ at every place, in every direction, and are not centred. */
export function ramp(shape: Shape, scale = 1, offset = 0): Tensor<'float32'> {
  const data = new Float32Array(elementCount(shape));
  for (let i = 0; i < data.length; i++) {
    data[i] = offset + scale * (Math.sin(0.7 * i + offset) + ((i * 7919) % 101) / 50);
  }
  return float32(shape, data);
}

/** A graph of one node of domain `distri` whose operands are all inputs of the graph. */
export function singleNode(
  op: string,
  inputs: Readonly<Record<string, Shape>>,
  outputs: Readonly<Record<string, Shape>>,
  attributes: NodeSpec['attributes'] = {},
): Uint8Array {
  const graph = new Graph();
  const operands = Object.entries(inputs).map(([name, shape]) => graph.input(name, 'float32', shape, 'step'));
  const results = Object.entries(outputs).map(([name, shape]) => ({ name, shape }));
  const spec = { op, domain: 'distri', name: 'mid_block.layer', inputs: operands, attributes } as const;
  for (const value of graph.nodes(spec, results)) graph.output(value);
  return stepModel(graph);
}

/** A chain of 3x3 convolutions with `channels` channels; `weight` gives the weights of each. */
export function convolutions(
  count: number,
  channels: number,
  size: number,
  weight: (graph: Graph, index: number) => Value,
): Uint8Array {
  const graph = new Graph();
  const shape = [1, channels, size, size];
  let x = graph.input('x', 'float32', shape, 'step');
  for (let i = 0; i < count; i++) {
    const name = i === count - 1 ? 'y' : `conv_${i}`;
    const attributes = { pads: { type: 'ints', value: [1, 1, 1, 1] } } as const;
    x = graph.node({ op: 'Conv', name, inputs: [x, weight(graph, i)], attributes }, shape);
  }
  graph.output(x);
  return stepModel(graph);
}

/** The graph of the steps as a session takes it. */
export function stepModel(graph: Graph): Uint8Array {
  return modelOf(graph.program().step);
}

export function create(model: Uint8Array, options: Partial<SessionOptions> = {}): Promise<Session> {
  return addon.Session.create(model, { threads: 1, weights: 'shared', ...options });
}

/** A test that every transport has to pass. */
export function transportTest(name: string, body: (transport: string) => void | Promise<void>): void {
  for (const transport of addon.transports) test(`${name} (${transport})`, () => body(transport));
}

/** What the processes of a run share. */
export interface World {
  readonly run: RunOptions;
  /** Those of a channel, in rank order. */
  readonly segmentFds: readonly (readonly number[])[];
}

/** Memory of one host, which every transport so far is made of. */
export function createWorld(transport: string, worldSize: number, channels = 1): World {
  const memory = (name: string) => addon.createSharedMemory(`test-${name}`);
  const run = { transport, worldSize, channels, controlFd: memory('control') };
  const segmentFds = Array.from({ length: channels }, (_, channel) =>
    Array.from({ length: worldSize }, (_, rank) => memory(`${channel}-${rank}`)),
  );
  return { run, segmentFds };
}

/** Options of the first communicator of rank 0 in a channel of `world`. */
export function communicatorOptions(
  { run, segmentFds }: World,
  slotBytes: readonly (readonly number[])[],
  channel = 0,
): CommunicatorOptions {
  const segments = segmentFds[channel] as readonly number[];
  const slots = readByAll(slotBytes);
  const headroom = 2 ** 28;
  return { ...run, rank: 0, channel, segmentFds: segments, slots, headroom, timeout: 5000, generation: 1 };
}

/** Communicators of all ranks that differ in nothing else; connected. */
export async function connectAll(options: CommunicatorOptions): Promise<Communicator[]> {
  const ranks = Array.from({ length: options.worldSize }, (_, rank) => rank);
  const communicators = ranks.map((rank) => new addon.Communicator({ ...options, rank }));
  await Promise.all(communicators.map((communicator) => communicator.connect()));
  return communicators;
}

/** Ranks of one run, all in this process. */
export interface Ranks {
  readonly liveness: Liveness;
  readonly communicators: readonly Communicator[];
  close(): void;
}

export async function connectRanks(
  transport: string,
  worldSize: number,
  slotBytes: readonly (readonly number[])[],
  timeout = 5000,
): Promise<Ranks> {
  const world = createWorld(transport, worldSize);
  const liveness = new addon.Liveness(world.run);
  const communicators = await connectAll({ ...communicatorOptions(world, slotBytes), timeout });
  return {
    liveness,
    communicators,
    close: () => {
      for (const communicator of communicators) communicator.close();
    },
  };
}

/** Attention of `heads` heads in double precision: q `[B, S, C]`, k and v `[B, T, C]`. */
export function attend(
  q: Tensor<'float32'>,
  k: Tensor<'float32'>,
  v: Tensor<'float32'>,
  heads: number,
): number[] {
  const [batch, queries, channels] = q.shape as [number, number, number];
  const tokens = k.shape[1] as number;
  const width = channels / heads;
  const at = (x: Tensor<'float32'>, image: number, token: number, channel: number) =>
    x.data[(image * (x.shape[1] as number) + token) * channels + channel] as number;
  const range = (length: number) => Array.from({ length }, (_, index) => index);
  const out: number[] = [];
  for (const image of range(batch)) {
    for (const query of range(queries)) {
      for (const channel of range(channels)) {
        const first = channel - (channel % width);
        const scores = range(tokens).map(
          (token) =>
            range(width).reduce(
              (sum, d) => sum + at(q, image, query, first + d) * at(k, image, token, first + d),
              0,
            ) / Math.sqrt(width),
        );
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        out.push(
          range(tokens).reduce(
            (sum, token) => sum + (weights[token] as number) * at(v, image, token, channel),
            0,
          ) / total,
        );
      }
    }
  }
  return out;
}
