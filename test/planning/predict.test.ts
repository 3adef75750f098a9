import assert from 'node:assert/strict';
import { test } from 'node:test';
import { referenceDevice } from '../../src/engine/device.js';
import { interpolate, Predictor } from '../../src/planning/predict.js';
import type { MachineProfile } from '../../src/planning/profile.js';

const points = [
  { work: 10, seconds: 1 },
  { work: 1000, seconds: 4 },
];

test('times between measured amounts of work lie between measured times', () => {
  assert.equal(interpolate(points, 10), 1);
  assert.ok(Math.abs(interpolate(points, 100) - 2) < 1e-12);
  assert.equal(interpolate(points, 1000), 4);
});

test('beyond what was measured the rate stays', () => {
  assert.equal(interpolate(points, 3000), 12);
  assert.equal(interpolate(points, 8), 0.8);
  assert.equal(interpolate([], 1), 0);
});

test('a step is its operations, each with its start and its weights, its exchanges, and a barrier for those that are waited for', () => {
  const profile: MachineProfile = {
    setting: { ranks: 2, threads: 1, weights: 'shared', device: referenceDevice },
    measured: { time: '2026-01-31T12:00:00.000Z', load: 0 },
    probes: [
      { kind: 'conv', work: 100, seconds: 1 },
      { kind: 'other', work: 10, seconds: 0.1 },
    ],
    // 15 bytes are copied: the part of 5 into shared memory, all 10 out of it.
    gathers: [{ bytes: 10, time: 3e6, algorithmBandwidth: 0, busBandwidth: 0 }],
    barrier: 0.25,
  };
  const exchange = { kind: 'halo', published: 15, fetched: 15 } as const;
  const step = {
    costs: [
      { kind: 'conv', macs: 200, bytes: 70, weightBytes: 50 },
      { kind: 'other', macs: 0, bytes: 20, weightBytes: 5 },
      { kind: 'other', macs: 0, bytes: 0, weightBytes: 0 },
    ],
    exchanges: [
      { ...exchange, awaited: true },
      { ...exchange, awaited: false },
    ],
  } as const;
  assert.ok(Math.abs(new Predictor(profile).step(step) - (2 + 0.5 + 0.2 + 0.1 + 6 + 0.25 + 6)) < 1e-12);
});
