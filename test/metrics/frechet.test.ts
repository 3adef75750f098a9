import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type { FeatureSet } from '../../src/metrics/feature-set.js';
import { distanceOfMoments, moments } from '../../src/metrics/frechet.js';
import { kernelInceptionDistance } from '../../src/metrics/kid.js';
import { cases, golden } from './support.js';

interface Expected {
  readonly value?: number;
  readonly exact_low_rank: number;
  readonly trace1: number;
  /** The full set has it in an object. */
  readonly kid: number | { readonly value: number };
  readonly kid_subsets_are_permutations?: boolean;
}

async function featureSet(file: SafetensorsFile, name: string): Promise<FeatureSet> {
  const { data, shape } = await file.read(name);
  const [count, dimension] = shape as [number, number];
  return { values: data as Float32Array, count, dimension };
}

function assertNear(actual: number, expected: number, relative: number, absolute: number): void {
  const limit = Math.abs(expected) * relative + absolute;
  assert.ok(Math.abs(actual - expected) <= limit, `${actual} is not ${expected} within ${limit}`);
}

for (const [file, expectations] of [
  ['frechet_features.safetensors', cases.frechet.feature_sets],
  ['folder_features.safetensors', { 'uniform0|uniform1': cases.folder_fid['uniform0|uniform1'] }],
] as const) {
  for (const [names, expected] of Object.entries(expectations as Record<string, Expected>)) {
    test(`distances of ${names} are those of clean-fid`, async (t) => {
      const features = await SafetensorsFile.open(golden(file));
      const [first, second] = names.split('|') as [string, string];
      if (!features.tensors.has(first)) return t.skip('in the full set only');
      const [a, b] = [await featureSet(features, first), await featureSet(features, second)];
      const distance = frechetDistance(a, b);
      // The means of clean-fid are float32: that is the difference.
      assertNear(distance, expected.exact_low_rank, 1e-7, 1e-9 * expected.trace1);
      if (expected.value !== undefined) assertNear(distance, expected.value, 1e-5, 1e-5);
      if (expected.kid_subsets_are_permutations === false) return;
      const kid = typeof expected.kid === 'number' ? expected.kid : expected.kid.value;
      // It is a small difference of float32 sums there.
      assertNear(kernelInceptionDistance(a, b), kid, 1e-5, 1e-6);
    });
  }
}

function randomFeatures(count: number, dimension: number, seed: number): FeatureSet {
  let state = seed;
  const values = Float32Array.from({ length: count * dimension }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    // Some features are always zero, and scales differ widely.
    return i % dimension === 3 ? 0 : (state / 2 ** 32 - 0.3) * 10 ** -((i % dimension) % 4);
  });
  return { values, count, dimension };
}

function frechetDistance(a: FeatureSet, b: FeatureSet): number {
  return distanceOfMoments(moments(a), moments(b));
}

test('one image more than dimensions changes the way of computing, not the distance', () => {
  const [a, b] = [randomFeatures(17, 16, 1), randomFeatures(40, 16, 2)];
  // Padded with zeros to more dimensions than images, the distance is the same by the other way.
  const pad = ({ values, count, dimension }: FeatureSet): FeatureSet => {
    const padded = new Float32Array(count * 64);
    for (let i = 0; i < count; i++) {
      padded.set(values.subarray(i * dimension, (i + 1) * dimension), i * 64);
    }
    return { values: padded, count, dimension: 64 };
  };
  const distance = frechetDistance(a, b);
  assert.ok(distance > 0.01);
  assertNear(frechetDistance(pad(a), pad(b)), distance, 0, 1e-7);
});

test('the distance of a set from itself is zero, also with features that are always zero', () => {
  const a = randomFeatures(50, 16, 5);
  assertNear(frechetDistance(a, a), 0, 0, 1e-7);
});

test('moving a set moves the distance by the square of the shift', () => {
  const a = randomFeatures(30, 9, 3);
  const b = { ...a, values: a.values.map((value, i) => (i % 9 === 2 ? value + 0.5 : value)) };
  assertNear(frechetDistance(a, b), 0.25, 1e-6, 0);
});
