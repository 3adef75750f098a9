import assert from 'node:assert/strict';
import { test } from 'node:test';
import { engineNames, openDevice } from '../../../src/engine/device.js';
import { floatResult } from '../../../src/engine/executable.js';
import { Graph } from '../../../src/graph/graph.js';
import { Kernels } from '../../../src/graph/kernels/kernels.js';
import { compileFlexible } from '../../../src/graph/passes/flexible.js';
import { float32 } from '../../../src/tensor/tensor.js';

/**
 * Rows `start` to `end` of x `[6, 2]`, plus a table of as many rows, as one row of numbers; `activation` is
 * another operation.
 */
function rowsGraph(start: number, end: number, activation?: 'silu'): Graph {
  const kernels = new Kernels(new Graph());
  const x = kernels.graph.input('x', 'float32', [6, 2], 'step');
  const table = Float32Array.from({ length: 2 * (end - start) }, (_, index) => 100 * start + index);
  const cut = kernels.slice('cut', x, 0, start, end);
  const sum = kernels.add('sum', cut, kernels.graph.constant('table', float32([end - start, 2], table)));
  const flat = kernels.reshape('flat', sum, [1, 2 * (end - start)]);
  kernels.graph.output(activation ? kernels.activation('result', flat, activation) : flat);
  return kernels.graph;
}

for (const engine of engineNames)
  test(`graphs of different sizes run as one program: ${engine}`, async () => {
    const ranges = [
      [0, 6],
      [0, 2],
      [2, 4],
      [4, 5],
    ] as const;
    const { step } = compileFlexible(ranges.map(([start, end]) => rowsGraph(start, end)));
    for (const { given } of step.variants) {
      assert.deepEqual(Object.keys(given).sort(), ['cut/end', 'cut/start', 'table']);
    }
    const options = { threads: 1, weights: 'shared', rank: 0, communicator: undefined } as const;
    const executable = await openDevice({ device: 'cpu', engine, dtype: 'fp32' }).load(step, options);
    const x = float32(
      [6, 2],
      Float32Array.from({ length: 12 }, (_, index) => index / 10),
    );
    // Not in order, and each more than once.
    for (const index of [0, 2, 1, 3, 0, 3]) {
      const [start, end] = ranges[index] as (typeof ranges)[number];
      const result = floatResult(await executable.run({ x }, undefined, index), 'flat');
      assert.deepEqual(result.shape, [1, 2 * (end - start)]);
      const wanted = Array.from({ length: 2 * (end - start) }, (_, i) =>
        Math.fround(Math.fround((2 * start + i) / 10) + 100 * start + i),
      );
      assert.deepEqual([...result.data], wanted);
    }
    executable.release();
  });

test('graphs that differ in more than sizes are refused', () => {
  assert.throws(() => compileFlexible([rowsGraph(0, 6), rowsGraph(0, 2, 'silu')]), /more than sizes/);
});
