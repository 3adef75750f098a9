import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Graph } from '../../../src/graph/graph.js';
import { Kernels } from '../../../src/graph/kernels/kernels.js';
import { macsByKind, operationCost } from '../../../src/graph/passes/cost.js';
import { peakActivationBytes } from '../../../src/graph/passes/liveness.js';
import type { Value } from '../../../src/graph/value.js';
import { planTopology } from '../../../src/parallel/topology.js';
import { RankProgram } from '../../../src/planning/rank-program.js';
import { float32, type Shape } from '../../../src/tensor/tensor.js';
import { plannedPicture } from '../../support/planned.js';
import { parallelOf } from '../../support/requests.js';

function build(shape: Shape, add: (kernels: Kernels, x: Value) => Value): Graph {
  const kernels = new Kernels(new Graph());
  kernels.graph.output(add(kernels, kernels.graph.input('x', 'float32', shape, 'step')));
  return kernels.graph;
}

function weight({ graph }: Kernels, name: string, shape: Shape): Value {
  return graph.constant(name, float32(shape));
}

test('a convolution multiplies for each result the window of all its input channels', () => {
  // 5 x 6 results of 4 channels (7 x 8 rows and columns without padding), 3 channels x 3 x 3 each.
  const graph = build([2, 3, 7, 8], (kernels, x) =>
    kernels.conv2d('conv', x, weight(kernels, 'w', [4, 3, 3, 3]), undefined, {
      stride: 1,
      padding: [0, 0, 0, 0],
    }),
  );
  assert.equal(macsByKind(graph.operations).conv, 2 * 4 * 5 * 6 * 27);
});

test('a strided convolution counts the results that there are', () => {
  const graph = build([1, 3, 8, 8], (kernels, x) =>
    kernels.conv2d('conv', x, weight(kernels, 'w', [5, 3, 3, 3]), undefined, {
      stride: 2,
      padding: [1, 1, 1, 1],
    }),
  );
  assert.equal(macsByKind(graph.operations).conv, 5 * 4 * 4 * 27);
});

test('a linear layer multiplies tokens x in x out; reshaping moves nothing', () => {
  const graph = build([2, 7, 5], (kernels, x) => {
    const rows = kernels.reshape('rows', x, [14, 5]);
    return kernels.linear('linear', rows, weight(kernels, 'w', [11, 5]), undefined);
  });
  assert.deepEqual(macsByKind(graph.operations), { conv: 0, linear: 2 * 7 * 5 * 11, attention: 0, other: 0 });
  const moved = graph.operations.map((operation) => operationCost(operation).bytes);
  assert.deepEqual(moved, [0, 4 * (14 * 5 + 11 * 5 + 14 * 11)]);
});

test('a gated linear layer multiplies values and gates', () => {
  const graph = build([2, 7, 5], (kernels, x) =>
    kernels.linearGeglu('gated', x, weight(kernels, 'w', [22, 5]), undefined),
  );
  assert.equal(macsByKind(graph.operations).linear, 2 * 7 * 5 * 22);
});

test('attention multiplies queries by keys and weights by values', () => {
  const graph = build([2, 7, 12], (kernels, x) => {
    const others = kernels.graph.input('y', 'float32', [2, 9, 12], 'step');
    return kernels.attention('attention', x, others, others, { heads: 3, causal: false });
  });
  assert.equal(macsByKind(graph.operations).attention, 2 * (2 * 7 * 9 * 12));
});

test('activations live from their operation to their last reader', () => {
  // x (10 floats, the caller's) -> a -> b -> a + b: two at the fullest moment before the sum, three while it
  // is computed.
  const graph = build([1, 10], (kernels, x) => {
    const a = kernels.sine('a', x);
    const b = kernels.cosine('b', kernels.reshape('same', a, [10]));
    return kernels.add('sum', kernels.reshape('again', b, [1, 10]), a);
  });
  assert.equal(peakActivationBytes(graph), 3 * 40);
});

test('SDXL base at 1024 px takes 338 T multiply-accumulates in 50 steps, as DistriFusion reports, but for what is computed once', async () => {
  const topology = planTopology({ worldSize: 1, guided: true, splitBatch: false });
  const image = await plannedPicture('sdxl-base-1.0', { rows: 128, columns: 128 });
  const [role] = topology.roles as [(typeof topology.roles)[0]];
  const program = RankProgram.build(image, topology, role, parallelOf('patch', { syncMode: 'full_sync' }));
  const { conv, linear, attention } = program.macs;
  // Keys and values of the text, 77 x 2048 tokens in 2 batches into 60 x 1280 and 10 x 640 features, are
  // computed once and not in each step.
  const text = 2 * 2 * 77 * 2048 * (60 * 1280 + 10 * 640);
  const total = 50 * (conv + linear + attention + text);
  assert.equal((total / 1e12).toFixed(0), '338');
});
