import type { RawConfig } from '../base/config-reader.js';
import { linearCombination, quotient } from './arithmetic.js';
import { schedulerConfig } from './config.js';
import { linspaceFloat32, type NoiseSchedule, readNoiseSchedule } from './noise-schedule.js';
import { interpolate } from './numpy.js';
import { type PredictionType, predictionTypes } from './predictions.js';
import type { Scheduler } from './scheduler.js';
import {
  deviationAt,
  type FinalSigmasType,
  finalSigmasTypes,
  readSigmaSpread,
  type SigmaSpread,
  sigmaSpreads,
  timestepOfSigma,
  trainingSigmas,
  varianceAt,
} from './sigmas.js';
import { StepPosition } from './step-position.js';
import { checkInferenceSteps, readSpacing, type Spacing, spacedTimesteps } from './timesteps.js';

const interpolationTypes = ['linear', 'log_linear'] as const;
const timestepTypes = ['discrete', 'continuous'] as const;

/**
 * Euler's method, algorithm 2 of Karras et al. (2022) without churn, as diffusers' EulerDiscreteScheduler.
 */
export class EulerDiscreteScheduler implements Scheduler {
  readonly timestepsDtype = 'float32';
  readonly #values: RawConfig;
  readonly #schedule: NoiseSchedule;
  readonly #trainingSigmas: Float32Array;
  readonly #predictionType: PredictionType;
  readonly #interpolationType: (typeof interpolationTypes)[number];
  readonly #timestepType: (typeof timestepTypes)[number];
  readonly #finalSigmasType: FinalSigmasType;
  readonly #spacing: Spacing;
  readonly #spread: SigmaSpread;
  readonly #sigmaMin: number | undefined;
  readonly #sigmaMax: number | undefined;
  #timesteps: readonly number[] = [];
  #sigmas: Float32Array;
  #position = new StepPosition([]);

  /** `values` is a scheduler_config.json, of this class or another. */
  constructor(values: RawConfig) {
    this.#values = values;
    const config = schedulerConfig(values);
    this.#schedule = readNoiseSchedule(config);
    this.#trainingSigmas = trainingSigmas(this.#schedule);
    this.#predictionType = config.choice('prediction_type', predictionTypes, 'epsilon', {
      original_sample: 'sample',
    });
    this.#interpolationType = config.choice('interpolation_type', interpolationTypes, 'linear');
    this.#timestepType = config.choice('timestep_type', timestepTypes, 'discrete');
    this.#finalSigmasType = config.choice('final_sigmas_type', finalSigmasTypes, 'zero');
    this.#spacing = readSpacing(config, 'linspace');
    this.#spread = readSigmaSpread(config);
    this.#sigmaMin = config.optionalNumber('sigma_min', { least: 0 });
    this.#sigmaMax = config.optionalNumber('sigma_max', { least: 0 });
    this.#sigmas = this.#trainingSigmas;
  }

  get timesteps(): readonly number[] {
    return this.#timesteps;
  }

  get sigmas(): Float32Array {
    return this.#sigmas;
  }

  get initNoiseSigma(): number {
    const largest = this.#sigmas.reduce((a, b) => Math.max(a, b));
    return this.#spacing.name === 'leading' ? deviationAt(largest) : largest;
  }

  setTimesteps(numInferenceSteps: number): void {
    const { numTrainTimesteps } = this.#schedule;
    checkInferenceSteps(numInferenceSteps, numTrainTimesteps);
    const spaced = Float32Array.from(spacedTimesteps(this.#spacing, numTrainTimesteps, numInferenceSteps));
    const levels = this.#interpolatedSigmas(spaced);
    const sigmas = this.#spread === 'timesteps' ? levels : this.#spreadSigmas(levels, numInferenceSteps);
    const last = this.#finalSigmasType === 'zero' ? 0 : (this.#trainingSigmas[0] as number);
    this.#sigmas = Float32Array.from([...sigmas, last]);
    this.#timesteps = Array.from(this.#timestepsOf(spaced, sigmas));
    this.#position = new StepPosition(this.#timesteps);
  }

  scaleModelInput(sample: Float32Array, timestep: number, index = this.#position.at(timestep)): Float32Array {
    return quotient(sample, deviationAt(this.#sigmas[index] as number));
  }

  step(modelOutput: Float32Array, timestep: number, sample: Float32Array): Float32Array {
    const index = this.#position.at(timestep);
    const sigma = this.#sigmas[index] as number;
    const original = this.#predictOriginal(modelOutput, sample, sigma);
    const difference = linearCombination([
      [1, sample],
      [-1, original],
    ]);
    const next = linearCombination([
      [1, sample],
      [Math.fround((this.#sigmas[index + 1] as number) - sigma), quotient(difference, sigma)],
    ]);
    this.#position.advance();
    return next;
  }

  fork(): EulerDiscreteScheduler {
    const fork = new EulerDiscreteScheduler(this.#values);
    fork.#timesteps = this.#timesteps;
    fork.#sigmas = this.#sigmas;
    fork.#position = this.#position.copy();
    return fork;
  }

  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array {
    return linearCombination([
      [1, original],
      [this.#sigmas[this.#position.find(timestep)] as number, noise],
    ]);
  }

  /**
   * Descending. As in diffusers, `log_linear` goes by no timestep and has one level more than there are
   * steps.
   */
  #interpolatedSigmas(timesteps: Float32Array): number[] {
    const levels = this.#trainingSigmas;
    if (this.#interpolationType === 'linear') return Array.from(timesteps, (t) => interpolate(t, levels));
    const first = Math.log(levels.at(-1) as number);
    const last = Math.log(levels[0] as number);
    return Array.from(linspaceFloat32(first, last, timesteps.length + 1), (level) =>
      Math.fround(Math.exp(level)),
    );
  }

  #spreadSigmas(levels: readonly number[], count: number): number[] {
    if (this.#spread === 'timesteps') return [...levels];
    const largest = this.#sigmaMax ?? (levels[0] as number);
    const smallest = this.#sigmaMin ?? (levels.at(-1) as number);
    return sigmaSpreads[this.#spread](largest, smallest, count);
  }

  #timestepsOf(spaced: Float32Array, sigmas: readonly number[]): Float32Array {
    if (this.#timestepType === 'continuous' && this.#predictionType === 'v_prediction') {
      return Float32Array.from(sigmas, (sigma) => 0.25 * Math.fround(Math.log(Math.fround(sigma))));
    }
    if (this.#spread === 'timesteps') return spaced;
    const logSigmas = this.#trainingSigmas.map(Math.log);
    return Float32Array.from(sigmas, (sigma) => timestepOfSigma(sigma, logSigmas));
  }

  #predictOriginal(modelOutput: Float32Array, sample: Float32Array, sigma: number): Float32Array {
    switch (this.#predictionType) {
      case 'epsilon':
        return linearCombination([
          [1, sample],
          [-sigma, modelOutput],
        ]);
      case 'sample':
        return modelOutput;
      case 'v_prediction':
        return linearCombination([
          [Math.fround(-sigma / deviationAt(sigma)), modelOutput],
          [1, quotient(sample, varianceAt(sigma))],
        ]);
    }
  }
}
