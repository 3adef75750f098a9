import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Graph } from '../../src/graph/graph.js';
import { float, int } from '../../src/graph/value.js';
import { float32, type Shape, type Tensor } from '../../src/tensor/tensor.js';
import { attend, create, ramp, singleNode, stepModel } from './support.js';

async function groupNorm(
  x: Tensor<'float32'>,
  weights: { s: Tensor<'float32'>; b: Tensor<'float32'> },
  attributes: { groups: number; epsilon: number; activation: number },
  threads = 1,
): Promise<Float32Array> {
  const channels = x.shape[1] as number;
  const model = singleNode(
    'GroupNorm',
    { x: x.shape, s: [channels], b: [channels] },
    { y: x.shape },
    {
      groups: int(attributes.groups),
      epsilon: float(attributes.epsilon),
      activation: int(attributes.activation),
      float_sums: int(0),
    },
  );
  const session = await create(model, { threads });
  const y = float32(x.shape);
  await session.run({ x, ...weights }, { y });
  session.release();
  return y.data;
}

/** As torch.nn.functional.group_norm, in double precision. */
function referenceGroupNorm(
  x: Tensor<'float32'>,
  { s, b }: { s: Tensor<'float32'>; b: Tensor<'float32'> },
  { groups, epsilon, activation }: { groups: number; epsilon: number; activation: number },
): number[] {
  const [batch, channels] = x.shape as [number, number];
  const size = x.data.length / (batch * channels);
  const perGroup = (size * channels) / groups;
  const result: number[] = [];
  for (let g = 0; g < batch * groups; g++) {
    const values = [...x.data.subarray(g * perGroup, (g + 1) * perGroup)];
    const mean = values.reduce((sum, value) => sum + value, 0) / perGroup;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / perGroup;
    values.forEach((value, i) => {
      const channel = ((g % groups) * channels) / groups + Math.floor(i / size);
      const scaled =
        ((value - mean) / Math.sqrt(variance + epsilon)) * (s.data[channel] as number) +
        (b.data[channel] as number);
      result.push(activation === 1 ? scaled / (1 + Math.exp(-scaled)) : scaled);
    });
  }
  return result;
}

function assertClose(actual: Float32Array, expected: readonly number[], tolerance: number): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, i) => {
    const error = Math.abs(value - (expected[i] as number));
    assert.ok(error <= tolerance, `${value} at ${i} is ${error} off`);
  });
}

for (const shape of [
  [2, 6, 5, 7],
  [1, 32, 3, 1],
  [3, 4, 11],
  [2, 64, 17, 16],
] as Shape[]) {
  test(`GroupNorm of [${shape}] is torch's, with and without SiLU`, async () => {
    const channels = shape[1] as number;
    const x = ramp(shape, 3, -2);
    const weights = { s: ramp([channels], 0.5, 1), b: ramp([channels], 0.3, -1) };
    for (const activation of [0, 1]) {
      const attributes = { groups: 2, epsilon: 1e-3, activation };
      assertClose(await groupNorm(x, weights, attributes), referenceGroupNorm(x, weights, attributes), 4e-6);
    }
  });
}

test('GroupNorm of values far from zero keeps its variance', async () => {
  const x = ramp([1, 2, 40, 40], 1, 4000);
  const weights = { s: float32([2], Float32Array.of(1, 1)), b: float32([2]) };
  const attributes = { groups: 1, epsilon: 1e-5, activation: 0 };
  assertClose(await groupNorm(x, weights, attributes), referenceGroupNorm(x, weights, attributes), 2e-3);
});

test('GroupNorm does not depend on the number of threads', async () => {
  const x = ramp([2, 32, 16, 16], 2, 1);
  const weights = { s: ramp([32]), b: ramp([32], 1, -2) };
  const attributes = { groups: 8, epsilon: 1e-5, activation: 1 };
  assert.deepEqual(await groupNorm(x, weights, attributes, 2), await groupNorm(x, weights, attributes, 1));
});

test('GroupNorm refuses channels that do not fit its groups', async () => {
  const x = ramp([1, 6, 2, 2]);
  const weights = { s: ramp([6]), b: ramp([6]) };
  await assert.rejects(groupNorm(x, weights, { groups: 4, epsilon: 1e-5, activation: 0 }), {
    code: 'ORT',
    message: /^rank 0, mid_block\.layer \(GroupNorm\): shape \[1, 6, 2, 2\] can't be split into 4 groups/,
  });
});

test('GroupNorm may overwrite its input only when nobody needs it later', async () => {
  const shape = [1, 4, 5, 3];
  const graph = new Graph();
  const x = graph.input('x', 'float32', shape, 'step');
  const two = graph.constant('two', float32([1], Float32Array.of(2)));
  const [s, b] = ['s', 'b'].map((name) => graph.input(name, 'float32', [4], 'step'));
  const norm = (name: string, input: typeof x) =>
    graph.node(
      {
        op: 'GroupNorm',
        domain: 'distri',
        name,
        inputs: [input, s, b],
        attributes: { groups: int(2), epsilon: float(1e-3), activation: int(1), float_sums: int(0) },
      },
      shape,
    );
  const doubled = graph.node({ op: 'Mul', name: 'doubled', inputs: [x, two] }, shape);
  const twice = norm('again', norm('once', doubled));
  graph.output(graph.node({ op: 'Add', name: 'y', inputs: [doubled, twice] }, shape));
  const session = await create(stepModel(graph));
  const input = ramp(shape);
  const weights = { s: ramp([4], 0.5, 1), b: ramp([4], 0.3, -1) };
  const y = float32(shape);
  await session.run({ x: input, ...weights }, { y });
  session.release();
  const attributes = { groups: 2, epsilon: 1e-3, activation: 1 };
  const start = input.data.map((value) => 2 * value);
  const once = Float32Array.from(referenceGroupNorm(float32(shape, start), weights, attributes));
  const again = referenceGroupNorm(float32(shape, once), weights, attributes);
  assertClose(
    y.data,
    again.map((value, i) => value + (start[i] as number)),
    1e-5,
  );
});

/** erf by its Taylor series, exact to double precision for the arguments used here. */
function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/** `[tokens, inner]` times weight `[features, inner]` transposed, plus bias, in double precision. */
function multiply(x: Tensor<'float32'>, weight: Tensor<'float32'>, bias: Tensor<'float32'> | undefined) {
  const [features, inner] = weight.shape as [number, number];
  const tokens = x.data.length / inner;
  return Array.from({ length: tokens * features }, (_, i) => {
    const [token, feature] = [Math.floor(i / features), i % features];
    let sum = bias?.data[feature] ?? 0;
    for (let k = 0; k < inner; k++) {
      sum += (x.data[token * inner + k] as number) * (weight.data[feature * inner + k] as number);
    }
    return sum;
  });
}

/** The first half of each row of `width` times the exact GELU of the second. */
function geglu(rows: readonly number[], width: number): number[] {
  return Array.from({ length: rows.length / 2 }, (_, i) => {
    const value = Math.floor(i / (width / 2)) * width + (i % (width / 2));
    const gate = rows[value + width / 2] as number;
    return (rows[value] as number) * gate * 0.5 * (1 + erf(gate / Math.SQRT2));
  });
}

// Panels of features that are full and not, tokens that fill a tile and do not, more than one chunk of the
// inner dimension.
for (const [shape, features] of [
  [[1], 2],
  [[7, 16], 64],
  [[2, 3, 10], 6],
  [[1, 100, 34], 200],
  [[250, 40], 30],
  [[2, 13, 1281], 130],
  [[5, 2600], 66],
] as const) {
  test(`Linear of [${shape}] to ${features} features, plain, with bias and gated`, async () => {
    const inner = shape.at(-1) as number;
    const x = ramp(shape, 0.9, -0.7);
    const weight = ramp([features, inner], 2 / inner);
    const bias = ramp([features], 0.3, 1);
    for (const [withBias, activation] of [
      [0, 0],
      [1, 0],
      [1, 1],
      [0, 1],
    ]) {
      const plain = multiply(x, weight, withBias ? bias : undefined);
      const expected = activation ? geglu(plain, features) : plain;
      const outShape = [...shape.slice(0, -1), activation ? features / 2 : features];
      const inputs = withBias ? { x, weight, bias } : { x, weight };
      const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, shape]));
      const attributes = {
        bias: int(withBias as number),
        residual: int(0),
        activation: int(activation as number),
      };
      const session = await create(singleNode('Linear', shapes, { y: outShape }, attributes), { threads: 2 });
      const y = float32(outShape);
      await session.run(inputs, { y });
      session.release();
      // Roundings of a sum of `inner` terms walk at random; the gate multiplies those of its value.
      const largest = Math.max(1, ...plain.map(Math.abs));
      const roundings = 2 ** -24 * Math.max(8, Math.sqrt(inner)) * largest;
      assertClose(y.data, expected, activation ? 2 * largest * roundings : roundings);
    }
  });
}

test('Linear gives a token the same result, to the bit, whatever other tokens there are', async () => {
  const [inner, features] = [300, 70];
  const x = ramp([23, inner], 0.9, -0.7);
  const weight = ramp([features, inner], 0.1, 0.1);
  const attributes = { bias: int(0), residual: int(0), activation: int(0) };
  const results: Float32Array[] = [];
  for (const tokens of [23, 5]) {
    const shapes = { x: [tokens, inner], weight: weight.shape };
    const session = await create(singleNode('Linear', shapes, { y: [tokens, features] }, attributes));
    const y = float32([tokens, features]);
    await session.run({ x: float32([tokens, inner], x.data.slice(-tokens * inner)), weight }, { y });
    session.release();
    results.push(y.data);
  }
  assert.deepEqual(results[1], results[0]?.slice(-5 * features));
});

test('attention of any number of queries, keys and channels per head is exact softmax attention', async () => {
  for (const [queries, keys, channels, heads] of [
    [1, 1, 8, 1],
    [70, 100, 60, 3],
    [64, 97, 16, 2],
    [130, 193, 10, 1],
  ] as const) {
    const [q, k, v] = [
      ramp([2, queries, channels], 0.3, 1),
      ramp([2, keys, channels], 0.3, 2),
      ramp([2, keys, channels], 1, 3),
    ];
    const shapes = { q: q.shape, k: k.shape, v: v.shape };
    const model = singleNode('Attention', shapes, { y: q.shape }, { heads: int(heads) });
    const session = await create(model, { threads: 2 });
    const y = float32(q.shape);
    await session.run({ q, k, v }, { y });
    session.release();
    // Of values up to 5.
    assertClose(y.data, attend(q, k, v, heads), 5e-6);
  }
});
