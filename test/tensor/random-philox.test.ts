import assert from 'node:assert/strict';
import { test } from 'node:test';
import { philox4x32 } from '../../src/tensor/philox.js';
import { createGenerator } from '../../src/tensor/random.js';
import { worstDifference } from '../support/differences.js';

const TOLERANCE = 2e-6;

test('Philox4x32-10 gives the known answers of Random123', () => {
  const answers: [counter: number[], key: [number, number], words: number[]][] = [
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ];
  for (const [counter, key, words] of answers) {
    const state = Uint32Array.from(counter);
    philox4x32(state, ...key);
    assert.deepEqual([...state], words);
  }
});

test('randn gives what torch.randn gives on a CUDA device', () => {
  const expected = [-0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564];
  const actual = createGenerator('philox', 0n).randn([1, 6]).data;
  assert.ok(worstDifference(actual, expected) <= TOLERANCE, [...actual].join(' '));
});

test('an element depends on its place and on the call, not on the size of the tensor', () => {
  const small = createGenerator('philox', 7n);
  const large = createGenerator('philox', 7n);
  const first = small.randn([5]).data;
  assert.deepEqual(first, large.randn([4, 30]).data.slice(0, 5));
  const second = small.randn([5]).data;
  assert.notDeepEqual(second, first);
  assert.deepEqual(second, large.randn([4, 30]).data.slice(0, 5));
});

test('rand and randn count calls together, and an empty tensor is no call', () => {
  const generator = createGenerator('philox', 3n);
  generator.randn([0, 4]);
  const uniform = generator.rand([1000]).data;
  const normal = generator.randn([1000]).data;
  const other = createGenerator('philox', 3n);
  other.randn([1]);
  assert.deepEqual(normal, other.randn([1000]).data);
  assert.ok(uniform.every((value) => value >= 0 && value < 1));
});

test('all 64 bits of the seed matter', () => {
  const low = createGenerator('philox', 7n).randn([4]).data;
  assert.notDeepEqual(createGenerator('philox', 7n + (1n << 33n)).randn([4]).data, low);
  assert.deepEqual(createGenerator('philox', 7n + (1n << 64n)).randn([4]).data, low);
});

test('normal numbers have mean 0 and variance 1', () => {
  const { data } = createGenerator('philox', 12345n).randn([100_000]);
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  const variance = data.reduce((sum, value) => sum + value * value, 0) / data.length;
  assert.ok(Math.abs(mean) < 0.01, `mean ${mean}`);
  assert.ok(Math.abs(variance - 1) < 0.02, `variance ${variance}`);
});
