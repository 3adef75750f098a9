import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  gatherFigures,
  partBytes,
  type RankExchangeTimes,
  summarize,
} from '../../src/machine/exchange-figures.js';

test('bandwidths are those of nccl-tests', () => {
  // 4 ranks, 1 MB in 100 us: 10 GB/s, of which 3/4 come from others.
  assert.deepEqual(gatherFigures(1e6, 100, 4), {
    bytes: 1e6,
    time: 100,
    algorithmBandwidth: 10,
    busBandwidth: 7.5,
  });
});

test('parts are whole cache lines and at least one', () => {
  assert.equal(partBytes(1024, 2), 512);
  assert.equal(partBytes(1024, 3), 320);
  assert.equal(partBytes(1024, 64), 64);
});

test('the slowest rank counts, and those that only looked on do not', () => {
  const rank = (p50: number, gather: number, roundTrip: boolean): RankExchangeTimes => ({
    barrier: { p50, p99: 10 - p50 },
    roundTrip: roundTrip ? { p50, p99: p50 } : undefined,
    gathers: [gather],
  });
  const figures = summarize([rank(1, 5, true), rank(2, 4, true), rank(3, 6, false)], [3072]);
  assert.deepEqual(figures.barrier, { p50: 3, p99: 9 });
  assert.deepEqual(figures.roundTrip, { p50: 2, p99: 2 });
  assert.deepEqual(figures.gathers, [gatherFigures(3072, 6, 3)]);
});
