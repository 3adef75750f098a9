import type { RawConfig } from '../base/config-reader.js';
import { DistriError } from '../base/errors.js';
import { linearCombination, noisySample, squareRoot, type Term } from './arithmetic.js';
import { schedulerConfig } from './config.js';
import {
  type AlphaAt,
  levelOfAlpha,
  type NoiseSchedule,
  readAlphas,
  readNoiseSchedule,
  stepVariance,
} from './noise-schedule.js';
import { round } from './numpy.js';
import { type PredictionType, predictEpsilon, predictionTypes, predictOriginal } from './predictions.js';
import type { Scheduler, StepOptions } from './scheduler.js';
import { type LimitSample, readSampleLimit } from './thresholding.js';
import { checkInferenceSteps, readSpacing, type Spacing, spacedTimesteps } from './timesteps.js';

/** Denoising diffusion implicit models, Song et al. (2020), as diffusers' DDIMScheduler. */
export class DDIMScheduler implements Scheduler {
  readonly timestepsDtype = 'int64';
  readonly initNoiseSigma = 1;
  readonly #schedule: NoiseSchedule;
  readonly #alphaAt: AlphaAt;
  readonly #predictionType: PredictionType;
  readonly #spacing: Spacing;
  readonly #limit: LimitSample;
  #timesteps: readonly number[] = [];
  #stride = 0;

  /** `values` is a scheduler_config.json, of this class or another. */
  constructor(values: RawConfig) {
    const config = schedulerConfig(values);
    this.#schedule = readNoiseSchedule(config);
    this.#alphaAt = readAlphas(config, this.#schedule, true);
    this.#predictionType = config.choice('prediction_type', predictionTypes, 'epsilon');
    this.#spacing = readSpacing(config, 'leading');
    this.#limit = readSampleLimit(config, true);
  }

  get timesteps(): readonly number[] {
    return this.#timesteps;
  }

  setTimesteps(numInferenceSteps: number): void {
    const { numTrainTimesteps } = this.#schedule;
    checkInferenceSteps(numInferenceSteps, numTrainTimesteps);
    const timesteps = spacedTimesteps(this.#spacing, numTrainTimesteps, numInferenceSteps).map(round);
    const first = timesteps[0] as number;
    if (first >= numTrainTimesteps) {
      throw new DistriError(
        'usage',
        `${numInferenceSteps} steps with steps_offset ${this.#spacing.offset} begin at timestep ${first}, but the model ` +
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
    const level = levelOfAlpha(alpha);
    const original = predictOriginal(this.#predictionType, modelOutput, sample, level);
    const epsilon = predictEpsilon(this.#predictionType, modelOutput, sample, level);
    const deviation = Math.fround(Math.fround(eta) * squareRoot(stepVariance(alpha, previousAlpha)));
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
}
