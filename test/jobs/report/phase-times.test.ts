import assert from 'node:assert/strict';
import { test } from 'node:test';
import { meanPhaseTimes, phaseTimes, slowestRank } from '../../../src/jobs/report/phase-times.js';

function report(steps: readonly number[]) {
  const timings = {
    starts: { load: 3, text: 60, denoise: 100, decode: 915 },
    phases: { load: 50, text: 30, denoise: 800, decode: 70 },
    steps,
  };
  return { latency: 930, endToEnd: 1000, timings, exchanges: [] };
}

test('before, in and after the loop are all of the job, also what belongs to no phase', () => {
  assert.deepEqual(phaseTimes(report([400, 150, 100, 110])), {
    beforeLoop: 100,
    loop: 800,
    iteration0: 400,
    otherIterations: 120,
    afterLoop: 100,
    endToEnd: 1000,
  });
});

test('a single iteration has no others', () => {
  const { iteration0, otherIterations } = phaseTimes(report([790]));
  assert.deepEqual([iteration0, otherIterations], [790, undefined]);
});

test('the slowest rank is the one that took longest from end to end', () => {
  const ranks = [900, 1100, 1000].map((endToEnd) => ({ endToEnd }));
  assert.equal(slowestRank(ranks), 1);
});

test('means are taken of each part', () => {
  const one = phaseTimes(report([400, 100]));
  const other = { ...one, beforeLoop: 50, loop: 700, iteration0: 300, otherIterations: 150, endToEnd: 850 };
  assert.deepEqual(meanPhaseTimes([one, other]), {
    beforeLoop: 75,
    loop: 750,
    iteration0: 350,
    otherIterations: 125,
    afterLoop: 100,
    endToEnd: 925,
  });
  const { otherIterations } = meanPhaseTimes([phaseTimes(report([790])), phaseTimes(report([790]))]);
  assert.equal(otherIterations, undefined);
});
