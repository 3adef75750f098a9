import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeTimings } from '../../../src/commands/output/summary.js';

test('the table has a line per phase and tells first, synchronous and stale steps apart', () => {
  const timings = {
    phases: { load: 1234, text: 56, denoise: 900, decode: 78 },
    steps: [400, 150, 150, 100, 100],
  };
  assert.deepEqual(describeTimings(timings, 3, 12_345), [
    'load      1.234 s',
    'text      0.056 s',
    'denoise   0.900 s  first step 0.400 s, 2 synchronous 0.150 s each, 2 stale 0.100 s each',
    'decode    0.078 s',
    'total      12.3 s',
  ]);
});
