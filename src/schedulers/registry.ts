import type { RawConfig } from '../base/config-reader.js';
import { DistriError } from '../base/errors.js';
import { quote } from '../base/quote.js';
import { DDIMScheduler } from './ddim.js';
import { DPMSolverMultistepScheduler } from './dpm-solver-multistep.js';
import { EulerDiscreteScheduler } from './euler-discrete.js';
import { PNDMScheduler } from './pndm.js';
import type { Scheduler } from './scheduler.js';

interface SchedulerRow {
  /** With a scheduler_config.json, of this class or another. */
  readonly create: (config: RawConfig) => Scheduler;
  /** In diffusers. */
  readonly className: string;
  /** When steps add noise: where `eta` is above 0, where the configuration asks for it, always or never. */
  readonly noise: 'eta' | 'configured' | 'always' | 'never';
  /** Whether a run may begin at any timestep, as image to image does, and end at the image all the same. */
  readonly startsAnywhere: boolean;
}

const rows = {
  ddim: {
    create: (config) => new DDIMScheduler(config),
    className: 'DDIMScheduler',
    noise: 'eta',
    startsAnywhere: true,
  },
  euler: {
    create: (config) => new EulerDiscreteScheduler(config),
    className: 'EulerDiscreteScheduler',
    noise: 'never',
    startsAnywhere: true,
  },
  'dpm-solver': {
    create: (config) => new DPMSolverMultistepScheduler(config),
    className: 'DPMSolverMultistepScheduler',
    noise: 'configured',
    startsAnywhere: true,
  },
  pndm: {
    create: (config) => new PNDMScheduler(config),
    className: 'PNDMScheduler',
    noise: 'never',
    // As diffusers' it takes any first step twice, which its later timesteps do not reckon with.
    startsAnywhere: false,
  },
} satisfies Readonly<Record<string, SchedulerRow>>;

/**
 * Of `--scheduler`: diffusers' DDIM, EulerDiscrete, DPMSolverMultistep and PNDM schedulers.
 * @useDeclaredType
 */
export type SchedulerName = keyof typeof rows;

/** By the names of `--scheduler`. */
export const schedulers: Readonly<Record<SchedulerName, SchedulerRow>> = rows;

export const schedulerNames = Object.keys(schedulers) as readonly SchedulerName[];

/**
 * The scheduler `name` with the checkpoint's scheduler_config.json, whichever class that was written for: as
 * diffusers' `from_config`, keys that the class does not know are ignored and missing ones have its defaults.
 */
export function createScheduler(name: SchedulerName, checkpointConfig: RawConfig): Scheduler {
  return schedulers[name].create(checkpointConfig);
}

/** Which scheduler a checkpoint's scheduler_config.json is for. */
export function schedulerOf({ _class_name: className }: RawConfig): SchedulerName {
  const name = schedulerNames.find((candidate) => schedulers[candidate].className === className);
  if (name !== undefined) return name;
  throw new DistriError(
    'unsupported',
    `the checkpoint's scheduler is ${quote(className)}, which distri lacks; ` +
      `use --scheduler ${schedulerNames.join(', ')}`,
  );
}
