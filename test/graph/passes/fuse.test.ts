import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Graph } from '../../../src/graph/graph.js';
import { Kernels } from '../../../src/graph/kernels/kernels.js';
import type { Value } from '../../../src/graph/value.js';
import { float32 } from '../../../src/tensor/tensor.js';
import { create, ramp, stepModel } from '../../native/support.js';
import { worstDifference } from '../../support/differences.js';

const [tokens, inner, features] = [9, 5, 70];
const inputs = {
  x: ramp([1, tokens, inner], 0.4),
  y: ramp([1, tokens, features], 0.3, 1),
  weight: ramp([features, inner], 0.2, 0.1),
  bias: ramp([features], 0.3, -1),
};

/** Runs what `build` makes of the inputs; the operators of the graph and its results. */
async function run(build: (kernels: Kernels, values: Record<keyof typeof inputs, Value>) => Value[]) {
  const kernels = new Kernels(new Graph());
  const values = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape }]) => [
      name,
      kernels.graph.input(name, 'float32', shape, 'step'),
    ]),
  ) as Record<keyof typeof inputs, Value>;
  const results = build(kernels, values);
  for (const result of results) kernels.graph.output(result);
  const model = stepModel(kernels.graph);
  const session = await create(model);
  const outputs = Object.fromEntries(results.map(({ name, shape }) => [name, float32(shape)]));
  await session.run(inputs, outputs);
  session.release();
  return { text: Buffer.from(model).toString('latin1'), outputs };
}

for (const [what, bias] of [
  ['with bias', true],
  ['without bias', false],
] as const) {
  test(`a sum of a linear layer ${what} and something else becomes part of the layer, either way round`, async () => {
    const fused = await run((kernels, { x, y, weight, bias: shift }) => {
      const linear = (name: string) => kernels.linear(name, x, weight, bias ? shift : undefined);
      return [kernels.add('left', linear('a'), y), kernels.add('right', y, linear('b'))];
    });
    const plain = await run((kernels, { x, weight, bias: shift }) => [
      kernels.linear('product', x, weight, bias ? shift : undefined),
    ]);
    const expected =
      plain.outputs.product?.data.map((value, i) => value + (inputs.y.data[i] as number)) ?? [];
    for (const name of ['left', 'right'])
      assert.ok(worstDifference(fused.outputs[name]?.data ?? [], expected) < 1e-6);
    assert.ok(!fused.text.includes('Add'));
  });
}

test('a product that something else reads as well, or that is broadcast, stays', async () => {
  const { text, outputs } = await run((kernels, { x, y, weight, bias }) => {
    const shared = kernels.linear('shared', x, weight, undefined);
    const row = kernels.linear('row', x, weight, undefined);
    return [shared, kernels.add('sum', shared, y), kernels.add('shifted', row, bias)];
  });
  assert.equal(text.split('Add').length - 1, 2);
  const shared = outputs.shared?.data as Float32Array;
  const sum = shared.map((value, i) => value + (inputs.y.data[i] as number));
  assert.ok(worstDifference(outputs.sum?.data ?? [], sum) < 1e-6);
});
