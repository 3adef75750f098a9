import { linearCombination, quotient } from './arithmetic.js';
import { SchedulerConfig } from './config.js';
import { linspaceFloat32, type NoiseSchedule, readNoiseSchedule } from './noise-schedule.js';
import { interpolate } from './numpy.js';
import type { Scheduler } from './scheduler.js';
import {
  type FinalSigmasType,
  finalSigmasTypes,
  readSigmaSpread,
  type SigmaSpread,
  sigmaSpreads,
  timestepOfSigma,
  trainingSigmas,
} from './sigmas.js';
import { StepPosition } from './step-position.js';
import {
  checkInferenceSteps,
  leadingTimesteps,
  linspaceTimesteps,
  type TimestepSpacing,
  timestepSpacings,
  trailingTimesteps,
} from './timesteps.js';

const predictionTypes = ['epsilon', 'sample', 'original_sample', 'v_prediction'] as const;
const interpolationTypes = ['linear', 'log_linear'] as const;
const timestepTypes = ['discrete', 'continuous'] as const;

/** Euler's method, algorithm 2 of Karras et al. (2022) without churn, as diffusers' EulerDiscreteScheduler. */
export class EulerDiscreteScheduler implements Scheduler {
  readonly timestepsDtype = 'float32';
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #schedule: NoiseSchedule;
  readonly #trainingSigmas: Float32Array;
  readonly #predictionType: (typeof predictionTypes)[number];
  readonly #interpolationType: (typeof interpolationTypes)[number];
  readonly #timestepType: (typeof timestepTypes)[number];
  readonly #finalSigmasType: FinalSigmasType;
  readonly #spacing: TimestepSpacing;
  readonly #stepsOffset: number;
  readonly #spread: SigmaSpread;
  readonly #sigmaMin: number | undefined;
  readonly #sigmaMax: number | undefined;
  #timesteps: readonly number[] = [];
  #sigmas: Float32Array;
  #position = new StepPosition([]);

  /** `values` is a scheduler_config.json, of this class or another. */
  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
    const config = new SchedulerConfig(values);
    this.#schedule = readNoiseSchedule(config);
    this.#trainingSigmas = trainingSigmas(this.#schedule);
    this.#predictionType = config.choice('prediction_type', predictionTypes, 'epsilon');
    this.#interpolationType = config.choice('interpolation_type', interpolationTypes, 'linear');
    this.#timestepType = config.choice('timestep_type', timestepTypes, 'discrete');
    this.#finalSigmasType = config.choice('final_sigmas_type', finalSigmasTypes, 'zero');
    this.#spacing = config.choice('timestep_spacing', timestepSpacings, 'linspace');
    this.#stepsOffset = config.stepsOffset();
    this.#spread = readSigmaSpread(config);
    this.#sigmaMin = config.optionalNumber('sigma_min', 0);
    this.#sigmaMax = config.optionalNumber('sigma_max', 0);
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
    return this.#spacing === 'leading' ? deviationAt(largest) : largest;
  }

  setTimesteps(numInferenceSteps: number): void {
    checkInferenceSteps(numInferenceSteps, this.#schedule.numTrainTimesteps);
    const spaced = Float32Array.from(this.#spacedTimesteps(numInferenceSteps));
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

  #spacedTimesteps(count: number): number[] {
    const { numTrainTimesteps } = this.#schedule;
    switch (this.#spacing) {
      case 'linspace':
        return linspaceTimesteps(numTrainTimesteps - 1, count);
      case 'leading':
        return leadingTimesteps(numTrainTimesteps, count, this.#stepsOffset);
      case 'trailing':
        return trailingTimesteps(numTrainTimesteps, numTrainTimesteps, count);
    }
  }

  /** Descending. As in diffusers, `log_linear` goes by no timestep and has one level more than there are steps. */
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
      case 'original_sample':
        return modelOutput;
      case 'v_prediction':
        return linearCombination([
          [Math.fround(-sigma / deviationAt(sigma)), modelOutput],
          [1, quotient(sample, varianceAt(sigma))],
        ]);
    }
  }
}

/** The variance of an image with noise of level `sigma`. */
function varianceAt(sigma: number): number {
  return Math.fround(Math.fround(sigma ** 2) + 1);
}

function deviationAt(sigma: number): number {
  return Math.fround(Math.sqrt(varianceAt(sigma)));
}
