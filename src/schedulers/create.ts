import type { SchedulerName } from '../pipelines/request.js';
import { DDIMScheduler } from './ddim.js';
import { DPMSolverMultistepScheduler } from './dpm-solver-multistep.js';
import { EulerDiscreteScheduler } from './euler-discrete.js';
import type { Scheduler } from './scheduler.js';

type SchedulerClass = new (config: Readonly<Record<string, unknown>>) => Scheduler;

const classes: Readonly<Record<SchedulerName, SchedulerClass>> = {
  ddim: DDIMScheduler,
  euler: EulerDiscreteScheduler,
  'dpm-solver': DPMSolverMultistepScheduler,
};

/**
 * The scheduler `name` with the checkpoint's scheduler_config.json, whichever class that was written for: as
 * diffusers' `from_config`, keys that the class does not know are ignored and missing ones have its defaults.
 */
export function createScheduler(
  name: SchedulerName,
  checkpointConfig: Readonly<Record<string, unknown>>,
): Scheduler {
  return new classes[name](checkpointConfig);
}
