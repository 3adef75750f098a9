import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureExchange } from '../../src/jobs/measure.js';

test('real ranks exchange at a speed above zero', async () => {
  const figures = await measureExchange(3, [1024, 65536], new AbortController().signal);
  assert.equal(figures.ranks, 3);
  for (const { p50, p99 } of [figures.barrier, figures.roundTrip]) assert.ok(p50 > 0 && p99 >= p50);
  assert.deepEqual(
    figures.gathers.map(({ bytes }) => bytes),
    [960, 65472],
  );
  for (const { time } of figures.gathers) assert.ok(time > 0);
});
