import type { RawConfig } from '../base/config-reader.js';
import { linearCombination } from './arithmetic.js';
import { schedulerConfig } from './config.js';
import { linspace } from './numpy.js';
import type { ScheduleOptions, Scheduler } from './scheduler.js';
import { StepPosition } from './step-position.js';
import { checkInferenceSteps } from './timesteps.js';

/** Keys that would change the schedule or the steps, with the values that are implemented. */
const supportedValues: Readonly<Record<string, readonly unknown[]>> = {
  invert_sigmas: [false],
  shift_terminal: [],
  stochastic_sampling: [false],
  time_shift_type: ['exponential'],
  use_beta_sigmas: [false],
  use_exponential_sigmas: [false],
  use_karras_sigmas: [false],
};

/** The exponential of more is no number that anything can be shifted by. */
const MAX_SHIFT = 64;

/** How far noise levels are shifted for pictures of ever more tokens: along a line through two points. */
interface DynamicShift {
  readonly base: { readonly tokens: number; readonly shift: number };
  readonly most: { readonly tokens: number; readonly shift: number };
}

/** Noise levels at even distances, the last one a step above none: as FluxPipeline of diffusers has them. */
export function fluxSigmas(numInferenceSteps: number): readonly number[] {
  return linspace(1, 1 / numInferenceSteps, numInferenceSteps);
}

/** Euler's method along the flow from noise to a picture, as diffusers' FlowMatchEulerDiscreteScheduler. */
export class FlowMatchEulerDiscreteScheduler implements Scheduler {
  readonly timestepsDtype = 'float32';
  readonly initNoiseSigma = 1;
  readonly #values: RawConfig;
  readonly #numTrainTimesteps: number;
  readonly #shift: number;
  readonly #dynamic: DynamicShift | undefined;
  #timesteps: readonly number[] = [];
  #sigmas = new Float32Array();
  #position = new StepPosition([]);

  /** `values` is a scheduler_config.json. */
  constructor(values: RawConfig) {
    this.#values = values;
    const config = schedulerConfig(values);
    config.refuseUnsupported(supportedValues);
    this.#numTrainTimesteps = config.integer('num_train_timesteps', 1000);
    this.#shift = config.number('shift', 1, { least: 0.001 });
    const point = (which: 'base' | 'max', tokens: number, shift: number) => ({
      tokens: config.integer(`${which}_image_seq_len`, tokens),
      shift: config.number(`${which}_shift`, shift, { least: -MAX_SHIFT, most: MAX_SHIFT }),
    });
    const shifts = { base: point('base', 256, 0.5), most: point('max', 4096, 1.15) };
    this.#dynamic = config.boolean('use_dynamic_shifting', false) ? shifts : undefined;
    if (this.#dynamic && shifts.base.tokens === shifts.most.tokens) {
      const { tokens } = shifts.base;
      throw config.contradiction({ base_image_seq_len: tokens, max_image_seq_len: tokens });
    }
  }

  get timesteps(): readonly number[] {
    return this.#timesteps;
  }

  get sigmas(): Float32Array {
    return this.#sigmas;
  }

  setTimesteps(numInferenceSteps: number, { sigmas, imageTokens }: ScheduleOptions = {}): void {
    checkInferenceSteps(numInferenceSteps, this.#numTrainTimesteps);
    const levels = sigmas?.map(Math.fround) ?? this.#ownLevels(numInferenceSteps);
    const shifted = Float32Array.from(levels, this.#shiftFor(imageTokens));
    this.#sigmas = Float32Array.of(...shifted, 0);
    this.#timesteps = Array.from(shifted, (sigma) => Math.fround(sigma * this.#numTrainTimesteps));
    this.#position = new StepPosition(this.#timesteps);
  }

  scaleModelInput(sample: Float32Array): Float32Array {
    return sample;
  }

  step(modelOutput: Float32Array, timestep: number, sample: Float32Array): Float32Array {
    const index = this.#position.at(timestep);
    const distance = Math.fround((this.#sigmas[index + 1] as number) - (this.#sigmas[index] as number));
    const next = linearCombination([
      [1, sample],
      [distance, modelOutput],
    ]);
    this.#position.advance();
    return next;
  }

  fork(): FlowMatchEulerDiscreteScheduler {
    const fork = new FlowMatchEulerDiscreteScheduler(this.#values);
    fork.#timesteps = this.#timesteps;
    fork.#sigmas = this.#sigmas;
    fork.#position = this.#position.copy();
    return fork;
  }

  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array {
    const sigma = this.#sigmas[this.#position.find(timestep)] as number;
    return linearCombination([
      [sigma, noise],
      [Math.fround(1 - sigma), original],
    ]);
  }

  /** Between the levels of the first and the last training step, which a fixed shift has moved already. */
  #ownLevels(count: number): number[] {
    const moved = this.#dynamic ? (level: number) => level : shiftLevel(this.#shift);
    return linspace(moved(1), moved(1 / this.#numTrainTimesteps), count);
  }

  /**
   * What becomes of a noise level, of pictures of so many tokens. Rounded as numpy rounds: a model multiplies
   * what is off in the last bit by a thousand.
   */
  #shiftFor(imageTokens: number | undefined): (level: number) => number {
    const dynamic = this.#dynamic;
    if (!dynamic) return shiftLevel(this.#shift);
    if (imageTokens === undefined) throw new Error('a dynamic shift is that of a number of tokens');
    const { base, most } = dynamic;
    const slope = (most.shift - base.shift) / (most.tokens - base.tokens);
    const factor = Math.exp(imageTokens * slope + (base.shift - slope * base.tokens));
    const rounded = Math.fround(factor);
    return (level) => rounded / Math.fround(rounded + Math.fround(Math.fround(1 / level) - 1));
  }
}

/** A noise level moved by a fixed shift. */
function shiftLevel(shift: number): (level: number) => number {
  return (level) => Math.fround(shift * level) / Math.fround(1 + Math.fround((shift - 1) * level));
}
