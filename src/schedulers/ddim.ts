import { DistriError } from '../base/errors.js';
import { clamped, linearCombination, noisySample, remainder, squareRoot, type Term } from './arithmetic.js';
import { SchedulerConfig } from './config.js';
import { type NoiseSchedule, readNoiseSchedule } from './noise-schedule.js';
import type { Scheduler, StepOptions } from './scheduler.js';
import { readThresholding, type Thresholding, thresholdSample } from './thresholding.js';
import { checkInferenceSteps, type TimestepSpacing, timestepSpacings, wholeTimesteps } from './timesteps.js';

const predictionTypes = ['epsilon', 'sample', 'v_prediction'] as const;

/** What a model's output says of a noisy sample: the image and the noise in it. */
interface Prediction {
  readonly original: Float32Array;
  readonly epsilon: Float32Array;
}

/** Denoising diffusion implicit models, Song et al. (2020), as diffusers' DDIMScheduler. */
export class DDIMScheduler implements Scheduler {
  readonly timestepsDtype = 'int64';
  readonly initNoiseSigma = 1;
  readonly #schedule: NoiseSchedule;
  readonly #predictionType: (typeof predictionTypes)[number];
  readonly #spacing: TimestepSpacing;
  readonly #stepsOffset: number;
  readonly #thresholding: Thresholding | undefined;
  readonly #clipRange: number | undefined;
  readonly #finalAlpha: number;
  #timesteps: readonly number[] = [];
  #stride = 0;

  /** `values` is a scheduler_config.json, of this class or another. */
  constructor(values: Readonly<Record<string, unknown>>) {
    const config = new SchedulerConfig(values);
    this.#schedule = readNoiseSchedule(config);
    this.#predictionType = config.choice('prediction_type', predictionTypes, 'epsilon');
    this.#spacing = config.choice('timestep_spacing', timestepSpacings, 'leading');
    this.#stepsOffset = config.stepsOffset();
    this.#thresholding = readThresholding(config);
    const clipRange = config.number('clip_sample_range', 1, 0);
    this.#clipRange = config.boolean('clip_sample', true) ? clipRange : undefined;
    this.#finalAlpha = config.boolean('set_alpha_to_one', true)
      ? 1
      : (this.#schedule.alphasCumprod[0] as number);
  }

  get timesteps(): readonly number[] {
    return this.#timesteps;
  }

  setTimesteps(numInferenceSteps: number): void {
    const { numTrainTimesteps } = this.#schedule;
    checkInferenceSteps(numInferenceSteps, numTrainTimesteps);
    const timesteps = wholeTimesteps(this.#spacing, numTrainTimesteps, numInferenceSteps, this.#stepsOffset);
    const first = timesteps[0] as number;
    if (first >= numTrainTimesteps) {
      throw new DistriError(
        'usage',
        `${numInferenceSteps} steps with steps_offset ${this.#stepsOffset} begin at timestep ${first}, but the model ` +
          `was trained with timesteps up to ${numTrainTimesteps - 1}; use fewer steps`,
      );
    }
    this.#timesteps = timesteps;
    this.#stride = Math.floor(numTrainTimesteps / numInferenceSteps);
  }

  scaleModelInput(sample: Float32Array): Float32Array {
    return sample;
  }

  step(
    modelOutput: Float32Array,
    timestep: number,
    sample: Float32Array,
    { eta = 0, noise, batch = 1 }: StepOptions = {},
  ): Float32Array {
    const alpha = this.#alphaAt(timestep);
    const previousAlpha = this.#alphaAt(timestep - this.#stride);
    const { original, epsilon } = this.#predict(modelOutput, sample, alpha);
    const deviation = Math.fround(Math.fround(eta) * squareRoot(variance(alpha, previousAlpha)));
    const direction = squareRoot(Math.fround(1 - previousAlpha) - Math.fround(deviation ** 2));
    const terms: Term[] = [
      [squareRoot(previousAlpha), this.#limit(original, batch)],
      [direction, epsilon],
    ];
    if (eta > 0) {
      if (!noise) throw new Error('a step with eta above 0 needs a source of noise');
      terms.push([deviation, noise()]);
    }
    return linearCombination(terms);
  }

  /** There is nothing to go on from. */
  fork(): DDIMScheduler {
    return this;
  }

  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array {
    return noisySample(original, noise, this.#alphaAt(timestep));
  }

  /** After the last step there is no timestep, and the image is as clean as the configuration says. */
  #alphaAt(timestep: number): number {
    return timestep < 0 ? this.#finalAlpha : (this.#schedule.alphasCumprod[timestep] as number);
  }

  #predict(modelOutput: Float32Array, sample: Float32Array, alpha: number): Prediction {
    const signal = squareRoot(alpha);
    const noise = squareRoot(1 - alpha);
    switch (this.#predictionType) {
      case 'epsilon':
        return { original: remainder(sample, noise, modelOutput, signal), epsilon: modelOutput };
      case 'sample':
        return { original: modelOutput, epsilon: remainder(sample, signal, modelOutput, noise) };
      case 'v_prediction':
        return {
          original: linearCombination([
            [signal, sample],
            [-noise, modelOutput],
          ]),
          epsilon: linearCombination([
            [signal, modelOutput],
            [noise, sample],
          ]),
        };
    }
  }

  #limit(original: Float32Array, batch: number): Float32Array {
    if (this.#thresholding) return thresholdSample(original, batch, this.#thresholding);
    return this.#clipRange === undefined ? original : clamped(original, this.#clipRange);
  }
}

/** Formula 16 of the paper, for eta = 1. */
function variance(alpha: number, previousAlpha: number): number {
  const betas = Math.fround(Math.fround(1 - previousAlpha) / Math.fround(1 - alpha));
  return betas * Math.fround(1 - Math.fround(alpha / previousAlpha));
}
