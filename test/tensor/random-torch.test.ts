import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { Mt19937 } from '../../src/tensor/mt19937.js';
import { createGenerator } from '../../src/tensor/random.js';
import type { Shape, Tensor } from '../../src/tensor/tensor.js';
import { goldenPath } from '../support/golden-files.js';

const golden = await SafetensorsFile.open(goldenPath('rng.safetensors'));

/** The keys `KIND/seedS/REST` of one kind, taken apart. */
function recorded(kind: string): { key: string; seed: bigint; rest: string }[] {
  const found = [...golden.tensors.keys()].flatMap((key) => {
    const [, seed, rest] = new RegExp(`^${kind}/seed(\\d+)/(.+)$`).exec(key) ?? [];
    return seed && rest ? [{ key, seed: BigInt(seed), rest }] : [];
  });
  assert.ok(found.length > 0, `no ${kind} is recorded`);
  return found;
}

function parseShape(text: string): Shape {
  return text.split('x').map(Number);
}

async function assertSame(actual: Tensor<'float32'>, key: string): Promise<void> {
  assert.deepEqual(actual, await golden.read(key), key);
}

test('rand gives the numbers of torch.rand exactly', async () => {
  for (const { key, seed, rest } of recorded('rand')) {
    await assertSame(createGenerator('cpu', seed).rand(parseShape(rest)), key);
  }
});

test('the engine gives the numbers of torch.randint exactly', async () => {
  for (const { key, seed } of recorded('randint')) {
    const engine = new Mt19937(Number(BigInt.asUintN(32, seed)));
    const expected = (await golden.read(key)).data as BigInt64Array;
    const actual = BigInt64Array.from(expected, () => BigInt(engine.next() % 2 ** 24));
    assert.deepEqual(actual, expected, key);
  }
});

test('randn gives the numbers of torch.randn exactly, in both of its ways', async () => {
  for (const { key, seed, rest } of recorded('randn')) {
    await assertSame(createGenerator('cpu', seed).randn(parseShape(rest)), key);
  }
});

test('randn keeps the second number of a pair for the next small draw, over large ones between', async () => {
  for (const { key, seed, rest } of recorded('randn_sequence')) {
    const [shapes, index] = rest.split('/') as [string, string];
    const generator = createGenerator('cpu', seed);
    const results = shapes.split(',').map((shape) => generator.randn(parseShape(shape)));
    await assertSame(results[Number(index)] as Tensor<'float32'>, key);
  }
});

test('rand and randn draw from the same sequence', async () => {
  for (const { key, seed, rest } of recorded('rand_then_randn')) {
    const generator = createGenerator('cpu', seed);
    const results = [generator.rand([5]), generator.randn([17])];
    await assertSame(results[Number(rest.split('/')[1])] as Tensor<'float32'>, key);
  }
});
