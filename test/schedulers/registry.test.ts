import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { RawConfig } from '../../src/base/config-reader.js';
import { DistriError, type ErrorCode } from '../../src/base/errors.js';
import {
  createScheduler,
  type SchedulerName,
  schedulerNames,
  schedulerOf,
  schedulers,
  schedulersFor,
} from '../../src/schedulers/registry.js';

/** The scheduler_config.json of the public SDXL checkpoint. */
const sdxl = {
  _class_name: 'EulerDiscreteScheduler',
  _diffusers_version: '0.19.0.dev0',
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  beta_start: 0.00085,
  clip_sample: false,
  interpolation_type: 'linear',
  num_train_timesteps: 1000,
  prediction_type: 'epsilon',
  sample_max_value: 1.0,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  timestep_spacing: 'leading',
  trained_betas: null,
  use_karras_sigmas: false,
};

function rejects(code: ErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof DistriError && error.code === code && message.test(error.message);
}

test('the configuration of one class serves the others that follow the same predictions', () => {
  for (const name of schedulersFor('noise')) {
    const scheduler = createScheduler(name, sdxl);
    scheduler.setTimesteps(4);
    const distinct = [...new Set(scheduler.timesteps)];
    assert.deepEqual(
      distinct,
      distinct.toSorted((a, b) => b - a),
      `${name} descends`,
    );
    const distance = (distinct[0] as number) - (distinct[1] as number);
    const expected = distinct.map((_, step) => (distinct.at(-1) as number) + (3 - step) * distance);
    assert.deepEqual(distinct, expected, `${name} spaces four timesteps evenly`);
    assert.ok(
      distinct.every((timestep) => timestep % distance === sdxl.steps_offset),
      `${name} adds the offset`,
    );
  }
});

test('missing keys have the defaults of the class', () => {
  const spaced = (name: SchedulerName, config: RawConfig) => {
    const scheduler = createScheduler(name, config);
    scheduler.setTimesteps(10);
    return scheduler.timesteps;
  };
  const defaults = [
    ['ddim', 'leading'],
    ['euler', 'linspace'],
    ['dpm-solver', 'linspace'],
    ['pndm', 'leading'],
  ] as const;
  for (const [name, own] of defaults) {
    for (const timestep_spacing of ['leading', 'linspace', 'trailing']) {
      const same = isDeepStrictEqual(spaced(name, {}), spaced(name, { timestep_spacing }));
      assert.equal(same, timestep_spacing === own, `${name}, ${timestep_spacing}`);
    }
  }
});

test('keys that only held the defaults of another class are dropped', () => {
  const scheduler = createScheduler('ddim', {
    timestep_spacing: 'linspace',
    _use_default_values: ['timestep_spacing'],
  });
  scheduler.setTimesteps(10);
  assert.equal(scheduler.timesteps[0], 900);
});

test('lambda_min_clipped may be infinite, as a number or as a string', () => {
  const timesteps = [Number.NEGATIVE_INFINITY, '-Infinity', -5.1].map((lambda_min_clipped) => {
    const scheduler = createScheduler('dpm-solver', {
      ...sdxl,
      lambda_min_clipped,
      timestep_spacing: 'linspace',
    });
    scheduler.setTimesteps(20);
    return scheduler.timesteps;
  });
  assert.deepEqual(timesteps[0], timesteps[1]);
  assert.equal(timesteps[0]?.[0], 999);
  const cosine = createScheduler('dpm-solver', {
    beta_schedule: 'squaredcos_cap_v2',
    lambda_min_clipped: -5.1,
  });
  cosine.setTimesteps(20);
  assert.ok((cosine.timesteps[0] as number) < 999, 'the cosine schedule is clipped');
});

test('names of related schedulers are taken for those that diffusers takes them for', () => {
  const plain = createScheduler('dpm-solver', sdxl);
  const related = createScheduler('dpm-solver', { ...sdxl, algorithm_type: 'deis', solver_type: 'bh2' });
  const sample = Float32Array.of(1, -2, 3);
  const results = [plain, related].map((scheduler) => {
    scheduler.setTimesteps(3);
    let latents: Float32Array = sample;
    for (const t of scheduler.timesteps) latents = scheduler.step(latents, t, latents);
    return latents;
  });
  assert.deepEqual(results[0], results[1]);
});

test('what distri does not have is named, with what it has', () => {
  const cases = [
    ['euler', { beta_schedule: 'sigmoid' }, /"sigmoid" is not implemented; "linear" or "scaled_linear" or/],
    ['ddim', { prediction_type: 'flow_prediction' }, /prediction_type = "flow_prediction"/],
    ['dpm-solver', { use_flow_sigmas: true }, /use_flow_sigmas = true/],
    ['dpm-solver', { variance_type: 'learned_range' }, /variance_type = "learned_range"/],
    ['dpm-solver', { algorithm_type: 'x'.repeat(1000) }, /^.{0,300}$/],
  ] as const;
  for (const [name, config, message] of cases) {
    assert.throws(() => createScheduler(name, config), rejects('unsupported', message));
  }
});

test('a flow is shifted by what a picture has of tokens, or not at all', () => {
  const dynamic = { use_dynamic_shifting: true };
  assert.throws(
    () => createScheduler('flow_match_euler', { ...dynamic, base_image_seq_len: 9, max_image_seq_len: 9 }),
    rejects('checkpoint', /base_image_seq_len = 9 and max_image_seq_len = 9 exclude each other/),
  );
  assert.throws(
    () => createScheduler('flow_match_euler', { time_shift_type: 'linear' }),
    rejects('unsupported', /time_shift_type = "linear" is not implemented; "exponential" would work/),
  );
  assert.throws(
    () => createScheduler('flow_match_euler', { shift: 0 }),
    rejects('checkpoint', /a number from 0.001 for shift but found 0/),
  );
  const scheduler = createScheduler('flow_match_euler', dynamic);
  assert.throws(() => scheduler.setTimesteps(4), /a dynamic shift is that of a number of tokens/);
  const second = (imageTokens: number) => {
    scheduler.setTimesteps(4, { imageTokens });
    return scheduler.timesteps[1] as number;
  };
  assert.ok(second(4096) > second(256));
});

test('malformed and contradictory values are named', () => {
  const cases = [
    ['ddim', { beta_start: '0.1' }, /number from 0 below 1 for beta_start but found "0.1"/],
    ['ddim', { beta_end: Number.NaN }, /beta_end .* NaN/],
    ['euler', { beta_end: 1 }, /beta_end/],
    ['euler', { beta_end: 0.5 }, /its betas leave nothing of a picture at timestep \d+/],
    ['ddim', { trained_betas: Array(1000).fill(0.9) }, /nothing of a picture at timestep 37,/],
    ['ddim', { rescale_betas_zero_snr: true, beta_start: 0, beta_end: 0 }, /nothing of a picture/],
    ['ddim', { num_train_timesteps: 1e12 }, /num_train_timesteps/],
    ['ddim', { num_train_timesteps: 0.5 }, /num_train_timesteps/],
    ['ddim', { trained_betas: [0.1] }, /list of 1000 numbers .* trained_betas/],
    ['ddim', { thresholding: true, dynamic_thresholding_ratio: 2 }, /dynamic_thresholding_ratio/],
    ['euler', { timestep_spacing: 3 }, /one of linspace, leading, trailing for timestep_spacing/],
    ['euler', { use_karras_sigmas: 'yes' }, /use_karras_sigmas/],
    [
      'euler',
      { use_karras_sigmas: true, use_beta_sigmas: true },
      /use_karras_sigmas = true and use_beta_sigmas/,
    ],
    ['euler', { steps_offset: -1 }, /steps_offset/],
    ['dpm-solver', { lambda_min_clipped: 'low' }, /lambda_min_clipped/],
    ['dpm-solver', { solver_order: 4 }, /solver_order/],
    ['dpm-solver', { algorithm_type: 'dpmsolver' }, /algorithm_type = "dpmsolver" and final_sigmas_type/],
  ] as const;
  for (const [name, config, message] of cases) {
    assert.throws(() => createScheduler(name, config), rejects('checkpoint', message));
  }
});

test('a number of steps that the model cannot take is refused', () => {
  for (const name of schedulerNames) {
    const scheduler = createScheduler(name, sdxl);
    for (const steps of [0, -3, 2.5, 1001, Number.NaN]) {
      assert.throws(() => scheduler.setTimesteps(steps), rejects('usage', /num_inference_steps/), `${steps}`);
    }
  }
  const ddim = createScheduler('ddim', sdxl);
  assert.throws(() => ddim.setTimesteps(1000), rejects('usage', /begin at timestep 1000/));
});

test('trailing spacing gives as many different timesteps as asked for, from the last one of the training', () => {
  for (const name of schedulersFor('noise')) {
    const scheduler = createScheduler(name, { ...sdxl, timestep_spacing: 'trailing' });
    for (let steps = 1; steps <= 1000; steps += 1) {
      scheduler.setTimesteps(steps);
      assert.equal(new Set(scheduler.timesteps).size, steps, name);
      assert.equal(scheduler.timesteps[0], 999, name);
    }
  }
});

test("the checkpoint's own scheduler is found by its class", () => {
  for (const name of schedulerNames) {
    assert.equal(schedulerOf({ ...sdxl, _class_name: schedulers[name].className }), name);
  }
  assert.throws(
    () => schedulerOf({ _class_name: 'HeunDiscreteScheduler' }),
    rejects('unsupported', /"HeunDiscreteScheduler".*--scheduler ddim, euler, /),
  );
});

test('Runge-Kutta steps need four timesteps', () => {
  const scheduler = createScheduler('pndm', { ...sdxl, skip_prk_steps: false });
  assert.throws(() => scheduler.setTimesteps(3), rejects('usage', /at least 4 steps/));
});
