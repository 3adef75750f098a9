import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summarize, trimmedMean } from '../../src/base/statistics.js';

const oneToTwenty = Array.from({ length: 20 }, (_, index) => index + 1);

const cases: readonly [what: string, values: readonly number[], ratio: number, mean: number][] = [
  ['of nothing ignored it is the mean', [4, 1, 1], 0, 2],
  [
    "with the reference's defaults two of twenty go at each end",
    [1000, ...oneToTwenty.slice(0, 19)],
    0.2,
    10.5,
  ],
  ['the number dropped is rounded down', [100, 1, 2, 3], 0.49, 26.5],
  ['half of the share goes at each end', [100, 2, 4, 0], 0.5, 3],
  ['an odd number of values', [50, 2, 3, 4, 0], 0.4, 3],
  ['one value always stays', [7], 0.99, 7],
  ['times are sorted as numbers', [9, 10, 200, 8], 0.5, 9.5],
];
for (const [what, values, ratio, mean] of cases) {
  test(`trimmed mean: ${what}`, () => assert.equal(trimmedMean(values, ratio), mean));
}

test('a summary interpolates between neighbours, as numpy does', () => {
  assert.deepEqual(summarize([4, 1, 2, 3]), { min: 1, median: 2.5, p90: 3.7, max: 4, mean: 2.5 });
  assert.deepEqual(summarize([5]), { min: 5, median: 5, p90: 5, max: 5, mean: 5 });
});
