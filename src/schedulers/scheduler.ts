/** What a step may need besides the model's output. */
export interface StepOptions {
  /** DDIM's weight of fresh noise, from 0 to 1; the other schedulers have no use for it. */
  readonly eta?: number;
  /** Draws normal noise of the sample's size. Called once in every step that uses noise, never in others. */
  readonly noise?: () => Float32Array;
  /** Samples that lie one after the other in the arrays; dynamic thresholding looks at each on its own. */
  readonly batch?: number;
}

/** What a pipeline tells a scheduler of its pictures. */
export interface ScheduleOptions {
  /** Noise levels before the steps, one each, in place of those that the scheduler would choose. */
  readonly sigmas?: readonly number[];
  /** Of one picture; some schedulers keep more noise the more there are. */
  readonly imageTokens?: number;
}

/**
 * One of diffusers' schedulers: the times at which a model is asked, and what its answers do to the sample.
 * Samples of any shape are given as their numbers, rounded to float32 after each operation as torch does.
 */
export interface Scheduler {
  /** In the order of the steps; empty before `setTimesteps`. */
  readonly timesteps: readonly number[];
  /** What the timesteps are in diffusers. */
  readonly timestepsDtype: 'int64' | 'float32';
  /** The noise level before each step and after the last one, where the scheduler has them. */
  readonly sigmas?: Float32Array;
  /** What normal noise is multiplied with to be the first sample. */
  readonly initNoiseSigma: number;
  /** Plans a run, and forgets the one before. */
  setTimesteps(numInferenceSteps: number, options?: ScheduleOptions): void;
  /**
   * What the model is to see of a sample at a timestep: by default of the next step, or of the one with this
   * index in `timesteps`, for who scales but does not step.
   */
  scaleModelInput(sample: Float32Array, timestep: number, index?: number): Float32Array;
  /**
   * The sample after a timestep, a new array. Steps are taken in the order of `timesteps`, from any of them
   * on.
   */
  step(
    modelOutput: Float32Array,
    timestep: number,
    sample: Float32Array,
    options?: StepOptions,
  ): Float32Array;
  /**
   * A scheduler that goes on from where this one is, independent of it, with part of the samples: `cut` takes
   * that part out of an array as long as the samples so far.
   */
  fork(cut: (whole: Float32Array) => Float32Array): Scheduler;
  /** A clean sample as noisy as samples are before the step at a timestep. */
  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array;
}
