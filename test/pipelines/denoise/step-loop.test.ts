import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requireFinite } from '../../../src/pipelines/denoise/step-loop.js';

test('latents that are not finite are named with their step and rank', () => {
  requireFinite(Float32Array.of(0, -3e38, 1), 7, 2);
  for (const value of [Number.NaN, Infinity, -Infinity]) {
    assert.throws(() => requireFinite(Float32Array.of(0, value), 7, 2), {
      code: 'rank',
      message: /not finite after step 7 on rank 2/,
    });
  }
});
