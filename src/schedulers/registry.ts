import type { RawConfig } from '../base/config-reader.js';
import { DistriError } from '../base/errors.js';
import { quote } from '../base/quote.js';
import { DDIMScheduler } from './ddim.js';
import { DPMSolverMultistepScheduler } from './dpm-solver-multistep.js';
import { EulerDiscreteScheduler } from './euler-discrete.js';
import { FlowMatchEulerDiscreteScheduler } from './flow-match-euler-discrete.js';
import { PNDMScheduler } from './pndm.js';
import type { Scheduler } from './scheduler.js';

/** What a model says of a noisy picture: the noise in it, or the way from the picture to noise. */
export type Prediction = 'noise' | 'flow';

interface SchedulerRow {
  /** With a scheduler_config.json, of this class or another. */
  readonly create: (config: RawConfig) => Scheduler;
  /** In diffusers. */
  readonly className: string;
  /** Of which models it follows the predictions. */
  readonly follows: Prediction;
  /** When steps add noise: where `eta` is above 0, where the configuration asks for it, always or never. */
  readonly noise: 'eta' | 'configured' | 'always' | 'never';
  /** Whether a run may begin at any timestep, as image to image does, and end at the image all the same. */
  readonly startsAnywhere: boolean;
}

const rows = {
  ddim: {
    create: (config) => new DDIMScheduler(config),
    className: 'DDIMScheduler',
    follows: 'noise',
    noise: 'eta',
    startsAnywhere: true,
  },
  euler: {
    create: (config) => new EulerDiscreteScheduler(config),
    className: 'EulerDiscreteScheduler',
    follows: 'noise',
    noise: 'never',
    startsAnywhere: true,
  },
  'dpm-solver': {
    create: (config) => new DPMSolverMultistepScheduler(config),
    className: 'DPMSolverMultistepScheduler',
    follows: 'noise',
    noise: 'configured',
    startsAnywhere: true,
  },
  pndm: {
    create: (config) => new PNDMScheduler(config),
    className: 'PNDMScheduler',
    follows: 'noise',
    noise: 'never',
    // As diffusers' it takes any first step twice, which its later timesteps do not reckon with.
    startsAnywhere: false,
  },
  flow_match_euler: {
    create: (config) => new FlowMatchEulerDiscreteScheduler(config),
    className: 'FlowMatchEulerDiscreteScheduler',
    follows: 'flow',
    noise: 'never',
    startsAnywhere: true,
  },
} satisfies Readonly<Record<string, SchedulerRow>>;

/**
 * Of `--scheduler`: diffusers' DDIM, EulerDiscrete, DPMSolverMultistep, PNDM and FlowMatchEulerDiscrete
 * schedulers.
 * @useDeclaredType
 */
export type SchedulerName = keyof typeof rows;

/** By the names of `--scheduler`. */
export const schedulers: Readonly<Record<SchedulerName, SchedulerRow>> = rows;

export const schedulerNames = Object.keys(schedulers) as readonly SchedulerName[];

/** Those that follow what a model predicts. */
export function schedulersFor(prediction: Prediction): readonly SchedulerName[] {
  return schedulerNames.filter((name) => schedulers[name].follows === prediction);
}

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
