import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { DistriError } from '../../src/base/errors.js';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type { SchedulerName } from '../../src/pipelines/request.js';
import { createScheduler } from '../../src/schedulers/create.js';
import type { Scheduler } from '../../src/schedulers/scheduler.js';
import { createGenerator } from '../../src/tensor/random.js';
import { relativeDifference } from '../support/differences.js';
import { goldenPath } from '../support/golden-files.js';

/** About three times what two builds of the reference differ by. */
const TOLERANCE = 2e-6;
const SHAPE = [1, 4, 6, 5];

interface Configuration {
  readonly scheduler_class: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly options: { readonly eta?: number };
  readonly steps: Readonly<
    Record<string, { init_noise_sigma: number; add_noise_at_index?: number; error?: string }>
  >;
}

const names: Readonly<Record<string, SchedulerName>> = {
  DDIMScheduler: 'ddim',
  EulerDiscreteScheduler: 'euler',
  DPMSolverMultistepScheduler: 'dpm-solver',
  PNDMScheduler: 'pndm',
};

const golden = await SafetensorsFile.open(goldenPath('schedulers.safetensors'));
const { schedulers } = JSON.parse(await readFile(goldenPath('schedulers.json'), 'utf8')) as {
  schedulers: Record<string, Configuration>;
};

function noise(seed: bigint): Float32Array {
  return createGenerator('cpu', seed).randn(SHAPE).data;
}

async function assertClose(actual: ArrayLike<number>, key: string): Promise<void> {
  const worst = relativeDifference(actual, (await golden.read(key)).data as Float32Array);
  assert.ok(worst <= TOLERANCE, `${key}: differs by ${worst} of the largest value`);
}

async function checkSchedule(scheduler: Scheduler, key: string): Promise<void> {
  const { dtype, data } = await golden.read(`${key}/timesteps`);
  assert.equal(scheduler.timestepsDtype, dtype);
  if (dtype === 'int64') assert.deepEqual(scheduler.timesteps, Array.from(data, Number), key);
  else await assertClose(scheduler.timesteps, `${key}/timesteps`);
  assert.equal(scheduler.sigmas !== undefined, golden.tensors.has(`${key}/sigmas`));
  if (scheduler.sigmas) await assertClose(scheduler.sigmas, `${key}/sigmas`);
}

async function checkSteps(scheduler: Scheduler, key: string, eta: number): Promise<void> {
  const generator = createGenerator('cpu', 502n);
  let sample: Float32Array = noise(500n).map((value) => value * scheduler.initNoiseSigma);
  for (const [index, timestep] of scheduler.timesteps.entries()) {
    const step = String(index).padStart(3, '0');
    const input = scheduler.scaleModelInput(sample, timestep);
    if (golden.tensors.has(`${key}/model_input_${step}`))
      await assertClose(input, `${key}/model_input_${step}`);
    const output = (await golden.read(`${key}/model_output_${step}`)).data as Float32Array;
    const draw = () => generator.randn(SHAPE).data;
    sample = scheduler.step(output, timestep, sample, { eta, noise: draw });
    await assertClose(sample, `${key}/sample_${step}`);
  }
}

for (const [name, { scheduler_class, config, options, steps }] of Object.entries(schedulers)) {
  const schedulerName = names[scheduler_class];
  if (!schedulerName) continue;
  test(`${name} plans and steps as diffusers does`, async () => {
    const scheduler = createScheduler(schedulerName, config);
    for (const [count, { init_noise_sigma, add_noise_at_index, error }] of Object.entries(steps)) {
      const key = `${name}/${count}`;
      if (error !== undefined) {
        assert.throws(() => scheduler.setTimesteps(Number(count)), DistriError);
        continue;
      }
      scheduler.setTimesteps(Number(count));
      await checkSchedule(scheduler, key);
      assert.ok(relativeDifference([scheduler.initNoiseSigma], [init_noise_sigma]) <= TOLERANCE, key);
      if (add_noise_at_index === undefined) continue;
      const timestep = scheduler.timesteps[add_noise_at_index] as number;
      await assertClose(scheduler.addNoise(noise(503n), noise(504n), timestep), `${key}/add_noise`);
      await checkSteps(scheduler, key, options.eta ?? 0);
    }
  });
}
