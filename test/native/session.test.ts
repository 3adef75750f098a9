import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Graph, ints } from '../../src/graph/graph.js';
import { loadAddon, probeAddon } from '../../src/native/load.js';
import { float32 } from '../../src/tensor/tensor.js';

const addon = loadAddon();

test('a convolution runs on memory of the caller', async () => {
  const graph = new Graph();
  const x = graph.input('x', 'float32', [1, 1, 3, 4], 'step');
  const w = graph.constant(
    'w',
    float32(
      [1, 1, 3, 3],
      Float32Array.from({ length: 9 }, (_, i) => i),
    ),
  );
  const y = graph.node(
    { op: 'Conv', name: 'conv', inputs: [x, w], attributes: { pads: ints([1, 1, 1, 1]) } },
    [1, 1, 3, 4],
  );
  graph.output(y);
  const session = await addon.Session.create(graph.compile().step.model, { threads: 1, weights: 'shared' });
  assert.deepEqual(session.inputs, ['x']);
  const out = float32([1, 1, 3, 4]);
  await session.run(
    {
      x: float32(
        [1, 1, 3, 4],
        Float32Array.from({ length: 12 }, (_, i) => i),
      ),
    },
    { conv: out },
  );
  console.log(out.data);
  session.release();
});

test('the probe names the version', async () => {
  console.log(await probeAddon());
});
