import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitEvenly, splitRows } from '../../src/base/split.js';

test('parts differ by one at most, the earlier ones are longer, and together they are the whole', () => {
  assert.deepEqual(splitEvenly(10, 3), [0, 4, 7, 10]);
  assert.deepEqual(splitRows(32, 3), [0, 11, 22, 32]);
  assert.deepEqual(splitEvenly(2, 4), [0, 1, 2, 2, 2], 'more parts than there is to divide');
});

test('a part without a row is refused with the number of parts that would work', () => {
  assert.throws(() => splitRows(3, 4), {
    code: 'unsupported',
    message: "3 rows can't be divided into 4 parts; at most 3 would work",
  });
});
