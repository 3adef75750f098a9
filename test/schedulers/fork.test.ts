import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createScheduler, type SchedulerName, schedulerNames } from '../../src/schedulers/registry.js';
import type { Scheduler } from '../../src/schedulers/scheduler.js';
import { createGenerator } from '../../src/tensor/random.js';

const STEPS = 8;
const config = {
  beta_start: 0.0001,
  beta_end: 0.02,
  solver_order: 3,
  prediction_type: 'v_prediction',
  clip_sample: false,
};
const ETA = 0.5;

function randn(seed: number, size: number): Float32Array {
  return createGenerator('cpu', BigInt(seed)).randn([size]).data;
}

function noiseOf(step: number): Float32Array {
  return randn(200 + step, 48);
}

function planned(name: SchedulerName): Scheduler {
  const scheduler = createScheduler(name, config);
  scheduler.setTimesteps(STEPS);
  return scheduler;
}

for (const name of schedulerNames) {
  test(`${name}: parts of the samples, each with a fork, become what the whole becomes`, () => {
    for (const common of [0, 1, 2, 5]) {
      const whole = planned(name);
      const divided = planned(name);
      const output = (step: number) => randn(100 + step, 48);
      let sample = randn(1, 48);
      const { timesteps } = whole;
      for (let step = 0; step < common; step++) {
        const options = { eta: ETA, noise: () => noiseOf(step) };
        const next = whole.step(output(step), timesteps[step] as number, sample, options);
        divided.step(output(step), timesteps[step] as number, sample, options);
        sample = next;
      }
      const ranges = [
        [0, 16],
        [16, 40],
        [40, 48],
      ] as const;
      const forks = ranges.map(([start, end]) => divided.fork((history) => history.slice(start, end)));
      let parts: Float32Array[] = ranges.map(([start, end]) => sample.slice(start, end));
      for (let step = common; step < timesteps.length; step++) {
        const timestep = timesteps[step] as number;
        sample = whole.step(output(step), timestep, sample, { eta: ETA, noise: () => noiseOf(step) });
        // One part after another: none moves the others on.
        parts = parts.map((part, index) => {
          const [start, end] = ranges[index] as (typeof ranges)[number];
          const noise = () => noiseOf(step).slice(start, end);
          return (forks[index] as Scheduler).step(output(step).slice(start, end), timestep, part, {
            eta: ETA,
            noise,
          });
        });
      }
      assert.deepEqual(
        parts.flatMap((part) => [...part]),
        [...sample],
        `after ${common} common steps`,
      );
    }
  });

  test(`${name}: who does not step scales by the index of the step`, () => {
    const stepped = planned(name);
    const other = planned(name);
    const sample = randn(2, 16);
    for (const [step, timestep] of stepped.timesteps.entries()) {
      const scaled = stepped.scaleModelInput(sample, timestep);
      assert.deepEqual(other.scaleModelInput(sample, timestep, step), scaled);
      stepped.step(sample, timestep, sample, { noise: () => randn(3, 16) });
    }
  });
}
