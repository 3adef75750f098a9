import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DistriError } from '../../src/base/errors.js';
import type { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { schedulerConfig } from '../../src/schedulers/config.js';
import { fluxSigmas } from '../../src/schedulers/flow-match-euler-discrete.js';
import { readNoiseSchedule } from '../../src/schedulers/noise-schedule.js';
import { createScheduler, schedulerNames, schedulers } from '../../src/schedulers/registry.js';
import type { ScheduleOptions, Scheduler } from '../../src/schedulers/scheduler.js';
import { createGenerator } from '../../src/tensor/random.js';
import { relativeDifference } from '../support/differences.js';
import { goldenAlphas, goldenSchedulers, type SchedulerCase } from '../support/golden-schedulers.js';

/** About three times what two builds of the reference differ by. */
const TOLERANCE = 2e-6;
const SHAPE = [1, 4, 6, 5];

function noise(seed: bigint): Float32Array {
  return createGenerator('cpu', seed).randn(SHAPE).data;
}

async function assertClose(golden: SafetensorsFile, actual: ArrayLike<number>, key: string): Promise<void> {
  const worst = relativeDifference(actual, (await golden.read(key)).data as Float32Array);
  assert.ok(worst <= TOLERANCE, `${key}: differs by ${worst} of the largest value`);
}

async function checkSchedule(golden: SafetensorsFile, scheduler: Scheduler, key: string): Promise<void> {
  const { dtype, data } = await golden.read(`${key}/timesteps`);
  assert.equal(scheduler.timestepsDtype, dtype);
  if (dtype === 'int64') assert.deepEqual(scheduler.timesteps, Array.from(data, Number), key);
  else await assertClose(golden, scheduler.timesteps, `${key}/timesteps`);
  assert.equal(scheduler.sigmas !== undefined, golden.tensors.has(`${key}/sigmas`));
  if (scheduler.sigmas) await assertClose(golden, scheduler.sigmas, `${key}/sigmas`);
}

async function checkSteps(
  golden: SafetensorsFile,
  scheduler: Scheduler,
  key: string,
  eta: number,
): Promise<void> {
  const generator = createGenerator('cpu', 502n);
  let sample: Float32Array = noise(500n).map((value) => value * scheduler.initNoiseSigma);
  for (const [index, timestep] of scheduler.timesteps.entries()) {
    const step = String(index).padStart(3, '0');
    const input = scheduler.scaleModelInput(sample, timestep);
    if (golden.tensors.has(`${key}/model_input_${step}`))
      await assertClose(golden, input, `${key}/model_input_${step}`);
    const output = (await golden.read(`${key}/model_output_${step}`)).data as Float32Array;
    const draw = () => generator.randn(SHAPE).data;
    sample = scheduler.step(output, timestep, sample, { eta, noise: draw });
    await assertClose(golden, sample, `${key}/sample_${step}`);
  }
}

/** What FluxPipeline tells a scheduler, where the case is one of its runs. */
function planOf({ flux_sigmas, image_seq_len }: SchedulerCase['options'], count: number): ScheduleOptions {
  return {
    ...(flux_sigmas && { sigmas: fluxSigmas(count) }),
    ...(image_seq_len !== undefined && { imageTokens: image_seq_len }),
  };
}

for (const schedulerName of schedulerNames) {
  const { cases, tensors: golden } = await goldenSchedulers(schedulers[schedulerName].className);

  test(`${schedulerName} is compared with diffusers`, () => {
    assert.notEqual(Object.keys(cases).length, 0);
  });

  for (const [name, { config, options, steps }] of Object.entries(cases)) {
    test(`${name} plans and steps as diffusers does`, async () => {
      const scheduler = createScheduler(schedulerName, config);
      for (const [count, { init_noise_sigma, add_noise_at_index, error }] of Object.entries(steps)) {
        const key = `${name}/${count}`;
        if (error !== undefined) {
          assert.throws(() => scheduler.setTimesteps(Number(count)), DistriError);
          continue;
        }
        scheduler.setTimesteps(Number(count), planOf(options, Number(count)));
        await checkSchedule(golden, scheduler, key);
        assert.ok(relativeDifference([scheduler.initNoiseSigma], [init_noise_sigma]) <= TOLERANCE, key);
        if (add_noise_at_index !== undefined) {
          const timestep = scheduler.timesteps[add_noise_at_index] as number;
          const noisy = scheduler.addNoise(noise(503n), noise(504n), timestep);
          await assertClose(golden, noisy, `${key}/add_noise`);
        }
        const stepped = golden.tensors.has(`${key}/model_output_000`);
        if (stepped) await checkSteps(golden, scheduler, key, options.eta ?? 0);
      }
    });
  }
}

test('the shares of the image at the timesteps are those of torch', async () => {
  const config = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' };
  const { alphasCumprod } = readNoiseSchedule(schedulerConfig(config));
  assert.ok(relativeDifference(alphasCumprod, await goldenAlphas()) <= TOLERANCE);
});
