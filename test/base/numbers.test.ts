import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesText, clockText, secondsText } from '../../src/base/numbers.js';

test('bytes have three digits and the prefix that fits', () => {
  const texts = [0, 999, 1000, 9994, 9995, 99_950, 999_499, 999_500, 24.2e9, 8.8e12, 4.4e15].map(bytesText);
  assert.deepEqual(texts, [
    '0 B',
    '999 B',
    '1.00 kB',
    '9.99 kB',
    '10.0 kB',
    '100 kB',
    '999 kB',
    '1.00 MB',
    '24.2 GB',
    '8.80 TB',
    '4400 TB',
  ]);
});

test('seconds have three digits and the unit that fits', () => {
  const texts = [0.00123, 0.0999, 0.1, 1, 45.67, 999.4, 999.5, 2300, 5999, 6000, 45_000].map(secondsText);
  assert.deepEqual(texts, [
    '1.23 ms',
    '99.9 ms',
    '0.100 s',
    '1.00 s',
    '45.7 s',
    '999 s',
    '17 min',
    '38 min',
    '100 min',
    '1.67 h',
    '12.5 h',
  ]);
});

test('a clock shows hours only where there are some, and no second too few', () => {
  assert.deepEqual([0, 0.2, 59.5, 123, 3723].map(clockText), ['0:00', '0:01', '1:00', '2:03', '1:02:03']);
});
