import assert from 'node:assert/strict';
import { test } from 'node:test';
import { algorithmTypes, noiseLevel, updateWeights } from '../../src/schedulers/dpm-solver-weights.js';
import {
  createScheduler,
  type SchedulerName,
  schedulerNames,
  schedulers,
} from '../../src/schedulers/registry.js';
import { thresholdSample } from '../../src/schedulers/thresholding.js';
import { createGenerator } from '../../src/tensor/random.js';
import { relativeDifference } from '../support/differences.js';

const sdxl = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' };

/** What a model says that sees this picture and this noise. */
function seen(name: SchedulerName, image: Float32Array, noise: Float32Array): Float32Array {
  if (schedulers[name].follows === 'noise') return noise;
  return noise.map((value, index) => value - (image[index] as number));
}

function randn(seed: bigint, size: number): Float32Array {
  return createGenerator('cpu', seed).randn([size]).data;
}

test('a model that always sees the same image and noise leads to that image', () => {
  const image = randn(1n, 64);
  const noise = randn(2n, 64);
  for (const name of schedulerNames) {
    const scheduler = createScheduler(name, { ...sdxl, clip_sample: false, set_alpha_to_one: true });
    scheduler.setTimesteps(12);
    let sample = scheduler.addNoise(image, noise, scheduler.timesteps[0] as number);
    for (const timestep of scheduler.timesteps)
      sample = scheduler.step(seen(name, image, noise), timestep, sample, { noise: () => noise });
    assert.ok(relativeDifference(sample, image) < 1e-4, name);
  }
});

test('a run may begin at any of its timesteps', () => {
  const image = randn(1n, 64);
  const noise = randn(2n, 64);
  for (const name of schedulerNames.filter((item) => schedulers[item].startsAnywhere)) {
    const scheduler = createScheduler(name, { ...sdxl, clip_sample: false, set_alpha_to_one: true });
    scheduler.setTimesteps(12);
    const rest = scheduler.timesteps.slice(7);
    let sample = scheduler.addNoise(image, noise, rest[0] as number);
    for (const timestep of rest)
      sample = scheduler.step(seen(name, image, noise), timestep, sample, { noise: () => noise });
    assert.ok(relativeDifference(sample, image) < 1e-4, name);
  }
});

test('a new plan forgets the run before', () => {
  for (const name of schedulerNames) {
    const used = createScheduler(name, sdxl);
    const fresh = createScheduler(name, sdxl);
    const run = (scheduler: typeof used) => {
      scheduler.setTimesteps(5);
      let sample = randn(3n, 32);
      for (const t of scheduler.timesteps)
        sample = scheduler.step(randn(BigInt(Math.round(t)), 32), t, sample, { noise: () => randn(4n, 32) });
      return sample;
    };
    run(used);
    assert.deepEqual(run(used), run(fresh), name);
  }
});

test('steps leave their inputs as they are', () => {
  for (const name of schedulerNames) {
    const scheduler = createScheduler(name, sdxl);
    scheduler.setTimesteps(5);
    const [output, sample, noise] = [randn(1n, 32), randn(2n, 32), randn(3n, 32)];
    const timestep = scheduler.timesteps[0] as number;
    scheduler.scaleModelInput(sample, timestep);
    scheduler.step(output, timestep, sample, { eta: 0.5, noise: () => noise });
    assert.deepEqual([output, sample, noise], [randn(1n, 32), randn(2n, 32), randn(3n, 32)], name);
  }
});

/** How many steps of three draw noise. */
function drawingSteps(name: SchedulerName, config: object, eta: number): number {
  const scheduler = createScheduler(name, { ...sdxl, skip_prk_steps: true, ...config });
  scheduler.setTimesteps(3);
  let sample = randn(1n, 16);
  let drawing = 0;
  for (const t of scheduler.timesteps) {
    let count = 0;
    const noise = () => {
      count++;
      return randn(9n, 16);
    };
    sample = scheduler.step(randn(2n, 16), t, sample, { eta, noise });
    assert.ok(count <= 1, `${name} draws noise ${count} times in a step`);
    drawing += count;
  }
  return drawing;
}

test('noise is drawn once in a step that uses it, and never in others', () => {
  for (const name of schedulerNames) {
    const byEta = schedulers[name].noise === 'eta' ? 3 : 0;
    if (schedulers[name].noise !== 'always') assert.equal(drawingSteps(name, {}, 0), 0, name);
    if (schedulers[name].noise !== 'always') assert.equal(drawingSteps(name, {}, 0.5), byEta, name);
  }
  assert.equal(drawingSteps('dpm-solver', { algorithm_type: 'sde-dpmsolver++' }, 0), 3);
});

test('an update keeps the scales of image and noise', () => {
  const from = noiseLevel(3);
  const to = noiseLevel(2.5);
  for (const algorithm of algorithmTypes) {
    const { sample, d0, noise = 0 } = updateWeights[algorithm](from, to);
    const data = algorithm.endsWith('++') ? d0 : 0;
    const predicted = sample * from.sigma + (algorithm.endsWith('++') ? 0 : d0);
    assert.ok(Math.abs(sample * from.alpha + data - to.alpha) < 1e-6, algorithm);
    // The stochastic noise prediction is exact only to first order in the step.
    const tolerance = algorithm === 'sde-dpmsolver' ? 0.1 : 1e-6;
    assert.ok(Math.abs(Math.hypot(predicted, noise) - to.sigma) < tolerance, algorithm);
  }
});

test('the weights of derivatives are integrals over the step', () => {
  const from = noiseLevel(3);
  const to = noiseLevel(1.2);
  const h = to.lambda - from.lambda;
  const kernels = {
    'dpmsolver++': (u: number) => to.sigma * Math.exp(from.lambda + u),
    dpmsolver: (u: number) => -to.alpha * Math.exp(-from.lambda - u),
    'sde-dpmsolver++': (u: number) => 2 * to.alpha * Math.exp(-2 * (h - u)),
    'sde-dpmsolver': (u: number) => -2 * to.alpha * Math.exp(-from.lambda - u),
  };
  const points = 2000;
  const integral = (weight: (u: number) => number) => {
    let sum = 0;
    for (let i = 0; i < points; i++) sum += weight(((i + 0.5) / points) * h);
    return (sum * h) / points;
  };
  for (const algorithm of algorithmTypes) {
    const kernel = kernels[algorithm];
    const weights = updateWeights[algorithm](from, to);
    assert.ok(Math.abs(weights.d0 - integral(kernel)) < 1e-5, algorithm);
    assert.ok(Math.abs(weights.d1Heun - integral((u) => (kernel(u) * u) / h)) < 1e-5, algorithm);
    assert.ok(Math.abs(weights.d1Midpoint - weights.d0 / 2) < 1e-6, algorithm);
    if (algorithm.startsWith('sde')) continue;
    const second = integral((u) => (kernel(u) * (u / h) ** 2) / 2);
    assert.ok(Math.abs((weights.d2 as number) - second) < 1e-5, algorithm);
  }
});

test('dynamic thresholding scales each sample by its own quantile', () => {
  const mild = Float32Array.from({ length: 101 }, (_, i) => i / 100 - 0.5);
  const strong = Float32Array.from({ length: 101 }, (_, i) => (i % 2 === 0 ? -i : i) / 10);
  const both = Float32Array.of(...mild, ...strong);
  const result = thresholdSample(both, 2, { ratio: 0.5, maximum: 100 });
  assert.deepEqual(result.slice(0, 101), mild, 'a threshold below 1 counts as 1');
  assert.ok(
    relativeDifference(
      result.slice(101),
      strong.map((x) => Math.min(Math.max(x / 5, -1), 1)),
    ) < 1e-6,
  );
  const capped = thresholdSample(strong, 1, { ratio: 0.5, maximum: 2 });
  assert.ok(
    relativeDifference(
      capped,
      strong.map((x) => Math.min(Math.max(x / 2, -1), 1)),
    ) < 1e-6,
  );
});

test('an array of another size is refused', () => {
  const scheduler = createScheduler('ddim', sdxl);
  scheduler.setTimesteps(4);
  assert.throws(
    () => scheduler.step(new Float32Array(3), scheduler.timesteps[0] as number, new Float32Array(4)),
    /arrays of 4 and 3 numbers/,
  );
});
