import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inverseBeta } from '../../src/schedulers/beta-distribution.js';
import { createScheduler } from '../../src/schedulers/registry.js';
import { relativeDifference } from '../support/differences.js';

const sdxl = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' };
const LARGEST = 14.614646911621094;
const SMALLEST = 0.02916753478348255;

/**
 * The distribution function of Beta(0.6, 0.6) by the midpoint rule, after substituting x = s^5 against the
 * pole at 0.
 */
function integrateBeta(x: number): number {
  const points = 200_000;
  const end = x ** 0.2;
  let sum = 0;
  for (let i = 0; i < points; i++) {
    const s = ((i + 0.5) / points) * end;
    sum += 5 * s * s * (1 - s ** 5) ** -0.4;
  }
  return (sum * end) / points / 2.4153442080024714;
}

test('the quantiles of the beta distribution invert its integral', () => {
  for (const probability of [0.001, 0.05, 0.2, 0.37, 0.5]) {
    const quantile = inverseBeta(probability);
    assert.ok(Math.abs(integrateBeta(quantile) - probability) < 1e-8, `${probability} -> ${quantile}`);
    assert.ok(Math.abs(inverseBeta(1 - probability) - (1 - quantile)) < 1e-12);
  }
  assert.deepEqual([inverseBeta(1), inverseBeta(0) < 1e-300], [1, true]);
});

test('exponential sigmas have one ratio from each to the next', () => {
  for (const name of ['euler', 'dpm-solver'] as const) {
    const scheduler = createScheduler(name, { ...sdxl, use_exponential_sigmas: true });
    scheduler.setTimesteps(8);
    const expected = Array.from({ length: 8 }, (_, i) => LARGEST * (SMALLEST / LARGEST) ** (i / 7));
    assert.ok(relativeDifference(scheduler.sigmas as Float32Array, [...expected, 0]) < 1e-6);
  }
});

test('beta sigmas run from the largest to the smallest and lie close at both ends', () => {
  const scheduler = createScheduler('euler', { ...sdxl, use_beta_sigmas: true });
  scheduler.setTimesteps(11);
  const sigmas = Array.from(scheduler.sigmas as Float32Array);
  assert.ok(relativeDifference([sigmas[0] as number, sigmas[10] as number], [LARGEST, SMALLEST]) < 1e-6);
  const steps = sigmas.slice(1, 11).map((sigma, i) => (sigmas[i] as number) - sigma);
  assert.ok(steps.every((step) => step > 0));
  assert.ok((steps[0] as number) < (steps[5] as number) && (steps[9] as number) < (steps[4] as number));
});

test('sigma_min and sigma_max of the configuration bound the spread levels', () => {
  const scheduler = createScheduler('euler', {
    ...sdxl,
    use_karras_sigmas: true,
    sigma_min: 0.5,
    sigma_max: 5,
  });
  scheduler.setTimesteps(5);
  const sigmas = scheduler.sigmas as Float32Array;
  assert.ok(relativeDifference([sigmas[0] as number, sigmas[4] as number], [5, 0.5]) < 1e-6);
});

test("Lu's lambdas lie at equal distances", () => {
  const scheduler = createScheduler('dpm-solver', { ...sdxl, use_lu_lambdas: true });
  scheduler.setTimesteps(6);
  const logs = Array.from(scheduler.sigmas as Float32Array)
    .slice(0, 6)
    .map(Math.log);
  const steps = logs.slice(1).map((log, i) => (logs[i] as number) - log);
  assert.ok(steps.every((step) => Math.abs(step - (steps[0] as number)) < 1e-5));
  assert.equal(scheduler.timesteps[0], 999);
});

test('continuous timesteps of a v prediction are a quarter of the logarithm of sigma', () => {
  const config = { ...sdxl, timestep_type: 'continuous', prediction_type: 'v_prediction' };
  const scheduler = createScheduler('euler', config);
  scheduler.setTimesteps(4);
  const sigmas = Array.from(scheduler.sigmas as Float32Array).slice(0, 4);
  assert.ok(
    relativeDifference(
      scheduler.timesteps,
      sigmas.map((sigma) => 0.25 * Math.log(sigma)),
    ) < 1e-6,
  );
});
