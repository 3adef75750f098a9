import { DistriError } from '../base/errors.js';
import { quote } from '../base/quote.js';
import type { SchedulerName } from '../pipelines/request.js';
import { DDIMScheduler } from './ddim.js';
import { DPMSolverMultistepScheduler } from './dpm-solver-multistep.js';
import { EulerDiscreteScheduler } from './euler-discrete.js';
import { PNDMScheduler } from './pndm.js';
import type { Scheduler } from './scheduler.js';

type SchedulerClass = new (config: Readonly<Record<string, unknown>>) => Scheduler;

const classes: Readonly<Record<SchedulerName, SchedulerClass>> = {
  ddim: DDIMScheduler,
  euler: EulerDiscreteScheduler,
  'dpm-solver': DPMSolverMultistepScheduler,
  pndm: PNDMScheduler,
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

const namesByClass: ReadonlyMap<unknown, SchedulerName> = new Map(
  Object.entries(classes).map(([name, { name: className }]) => [className, name as SchedulerName]),
);

/** Which scheduler a checkpoint's scheduler_config.json is for. */
export function schedulerOf(checkpointConfig: Readonly<Record<string, unknown>>): SchedulerName {
  const { _class_name: className } = checkpointConfig;
  const name = namesByClass.get(className);
  if (name !== undefined) return name;
  throw new DistriError(
    'unsupported',
    `the checkpoint's scheduler is ${quote(className)}, which distri lacks; use --scheduler ${Object.keys(classes).join(', ')}`,
  );
}
