import type { RawConfig } from '../base/config-reader.js';
import { expected } from '../base/errors.js';
import { linearCombination, noisySample, quotient, squareRoot, type Term } from './arithmetic.js';
import { schedulerConfig } from './config.js';
import {
  type AlphaAt,
  levelOfAlpha,
  type NoiseSchedule,
  readAlphas,
  readNoiseSchedule,
} from './noise-schedule.js';
import { round } from './numpy.js';
import { predictEpsilon } from './predictions.js';
import type { Scheduler } from './scheduler.js';
import { checkInferenceSteps, readSpacing, type Spacing, spacedTimesteps } from './timesteps.js';

const predictionTypes = ['epsilon', 'v_prediction'] as const;

/** The points that Runge-Kutta steps lie between; there is one step less, each of four model calls. */
const ORDER = 4;
const CALLS = 4;

/**
 * Adams-Bashforth's weights of the last predictions, the newest first, by how many there are; over the
 * divisor.
 */
const multistep: readonly { readonly weights: readonly number[]; readonly divisor: number }[] = [
  { weights: [1], divisor: 1 },
  { weights: [3, -1], divisor: 2 },
  { weights: [23, -16, 5], divisor: 12 },
  { weights: [55, -59, 37, -9], divisor: 24 },
];

/**
 * Pseudo numerical methods, Liu et al. (2022), as diffusers' PNDMScheduler: without its Runge-Kutta steps
 * where `skip_prk_steps`.
 */
export class PNDMScheduler implements Scheduler {
  readonly timestepsDtype = 'int64';
  readonly initNoiseSigma = 1;
  readonly #values: RawConfig;
  readonly #schedule: NoiseSchedule;
  readonly #alphaAt: AlphaAt;
  readonly #predictionType: (typeof predictionTypes)[number];
  readonly #spacing: Spacing;
  readonly #skipRungeKutta: boolean;
  #rungeKutta: readonly number[] = [];
  #timesteps: readonly number[] = [];
  #stride = 0;
  #calls = 0;
  /** The last predictions, the newest last. */
  #predictions: Float32Array[] = [];
  /** Where the step began that takes several calls. */
  #origin: Float32Array | undefined;
  #mean: Float32Array | undefined;

  /** `values` is a scheduler_config.json, of this class or another. */
  constructor(values: RawConfig) {
    this.#values = values;
    const config = schedulerConfig(values);
    this.#schedule = readNoiseSchedule(config);
    this.#alphaAt = readAlphas(config, this.#schedule, false);
    this.#predictionType = config.choice('prediction_type', predictionTypes, 'epsilon');
    this.#spacing = readSpacing(config, 'leading');
    this.#skipRungeKutta = config.boolean('skip_prk_steps', false);
  }

  /** More than there are steps: some steps ask the model several times. */
  get timesteps(): readonly number[] {
    return this.#timesteps;
  }

  setTimesteps(numInferenceSteps: number): void {
    const { numTrainTimesteps } = this.#schedule;
    checkInferenceSteps(numInferenceSteps, numTrainTimesteps);
    if (!this.#skipRungeKutta && numInferenceSteps < ORDER) {
      throw expected(`at least ${ORDER} steps, or skip_prk_steps,`, 'num_inference_steps', numInferenceSteps);
    }
    const spaced = spacedTimesteps(this.#spacing, numTrainTimesteps, numInferenceSteps).map(round);
    this.#stride = Math.floor(numTrainTimesteps / numInferenceSteps);
    this.#rungeKutta = this.#skipRungeKutta ? [] : rungeKuttaTimesteps(spaced, this.#stride);
    this.#timesteps = this.#skipRungeKutta
      ? [...spaced.slice(0, 2), ...spaced.slice(1)]
      : [...this.#rungeKutta, ...spaced.slice(ORDER - 1)];
    this.#calls = 0;
    this.#predictions = [];
    this.#origin = undefined;
    this.#mean = undefined;
  }

  scaleModelInput(sample: Float32Array): Float32Array {
    return sample;
  }

  step(modelOutput: Float32Array, timestep: number, sample: Float32Array): Float32Array {
    const next =
      this.#calls < this.#rungeKutta.length
        ? this.#stepRungeKutta(modelOutput, timestep, sample)
        : this.#stepMultistep(modelOutput, timestep, sample);
    this.#calls++;
    return next;
  }

  fork(cut: (whole: Float32Array) => Float32Array): PNDMScheduler {
    const fork = new PNDMScheduler(this.#values);
    fork.#rungeKutta = this.#rungeKutta;
    fork.#timesteps = this.#timesteps;
    fork.#stride = this.#stride;
    fork.#calls = this.#calls;
    fork.#predictions = this.#predictions.map(cut);
    fork.#origin = this.#origin && cut(this.#origin);
    fork.#mean = this.#mean && cut(this.#mean);
    return fork;
  }

  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array {
    return noisySample(original, noise, this.#alphaAt(timestep));
  }

  #stepRungeKutta(modelOutput: Float32Array, timestep: number, sample: Float32Array): Float32Array {
    const call = this.#calls % CALLS;
    if (call === 0) {
      this.#predictions.push(modelOutput);
      this.#origin = sample;
    }
    const weight = call === 0 || call === CALLS - 1 ? 1 / 6 : 1 / 3;
    const part: Term = [Math.fround(weight), modelOutput];
    this.#mean = linearCombination(this.#mean ? [[1, this.#mean], part] : [part]);
    const output = call === CALLS - 1 ? this.#mean : modelOutput;
    if (call === CALLS - 1) this.#mean = undefined;
    const previous = timestep - (this.#calls % 2 === 1 ? 0 : Math.floor(this.#stride / 2));
    const first = this.#rungeKutta[this.#calls - call] as number;
    return this.#transfer(this.#origin ?? sample, first, previous, output);
  }

  #stepMultistep(modelOutput: Float32Array, timestep: number, sample: Float32Array): Float32Array {
    if (this.#calls === 1) {
      // The first step once more, with the mean of the predictions at its two ends.
      const [first = modelOutput] = this.#predictions;
      const sum = linearCombination([
        [1, modelOutput],
        [1, first],
      ]);
      return this.#transfer(this.#origin ?? sample, timestep + this.#stride, timestep, quotient(sum, 2));
    }
    if (this.#calls === 0) this.#origin = sample;
    this.#predictions = [...this.#predictions.slice(-3), modelOutput];
    return this.#transfer(sample, timestep, timestep - this.#stride, this.#combinePredictions());
  }

  #combinePredictions(): Float32Array {
    const newestFirst = this.#predictions.toReversed();
    const { weights, divisor } = multistep[newestFirst.length - 1] as (typeof multistep)[number];
    const sum = linearCombination(
      newestFirst.map((prediction, index): Term => [weights[index] as number, prediction]),
    );
    return quotient(sum, divisor);
  }

  /** Formula 9 of the paper: the sample moved from one timestep to another. */
  #transfer(sample: Float32Array, from: number, to: number, modelOutput: Float32Array): Float32Array {
    const alpha = this.#alphaAt(from);
    const target = this.#alphaAt(to);
    const beta = Math.fround(1 - alpha);
    const epsilon = predictEpsilon(this.#predictionType, modelOutput, sample, levelOfAlpha(alpha));
    const root = squareRoot(Math.fround(Math.fround(alpha * beta) * target));
    const denominator = Math.fround(Math.fround(alpha * squareRoot(1 - target)) + root);
    const difference = Math.fround(target - alpha);
    return linearCombination([
      [squareRoot(target / alpha), sample],
      [-1, quotient(linearCombination([[difference, epsilon]]), denominator)],
    ]);
  }
}

/** The first steps' timesteps, each with one half a stride on, as the four calls of a step visit them. */
function rungeKuttaTimesteps(spaced: readonly number[], stride: number): number[] {
  const half = Math.floor(stride / 2);
  // From the smallest timestep to the largest, as diffusers builds the list.
  const points = spaced
    .slice(0, ORDER)
    .toReversed()
    .flatMap((timestep) => [timestep, timestep + half]);
  return points
    .slice(0, -1)
    .flatMap((point) => [point, point])
    .slice(1, -1)
    .toReversed();
}
