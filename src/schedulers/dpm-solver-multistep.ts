import type { ConfigReader, RawConfig } from '../base/config-reader.js';
import { linearCombination, remainder, type Term } from './arithmetic.js';
import { schedulerConfig } from './config.js';
import {
  type AlgorithmType,
  algorithmTypes,
  type NoiseLevel,
  noiseLevel,
  type UpdateWeights,
  updateWeights,
} from './dpm-solver-weights.js';
import { type NoiseSchedule, readNoiseSchedule } from './noise-schedule.js';
import { interpolate, linspace, round } from './numpy.js';
import { type PredictionType, predictEpsilon, predictionTypes, predictOriginal } from './predictions.js';
import type { Scheduler, StepOptions } from './scheduler.js';
import {
  type FinalSigmasType,
  finalSigmasTypes,
  finiteAlphas,
  readSigmaSpread,
  type SigmaSpread,
  sigmaSpreads,
  timestepOfSigma,
  trainingSigmas,
} from './sigmas.js';
import { StepPosition } from './step-position.js';
import { readThresholding, type Thresholding, thresholdSample } from './thresholding.js';
import { checkInferenceSteps, readSpacing, type Spacing, spacedTimesteps } from './timesteps.js';

const solverTypes = ['midpoint', 'heun'] as const;

/** Names that configurations of related schedulers have, and what diffusers takes them for. */
const algorithmAliases: Readonly<Record<string, AlgorithmType>> = { deis: 'dpmsolver++' };
const solverAliases: Readonly<Record<string, 'midpoint'>> = {
  logrho: 'midpoint',
  bh1: 'midpoint',
  bh2: 'midpoint',
};

/** Below this many steps the last ones are of lower order, for stability. */
const MANY_STEPS = 15;

/**
 * The multistep DPM-Solver and DPM-Solver++ of Lu et al. (2022), as diffusers' DPMSolverMultistepScheduler.
 */
export class DPMSolverMultistepScheduler implements Scheduler {
  readonly timestepsDtype = 'int64';
  readonly initNoiseSigma = 1;
  readonly #values: RawConfig;
  readonly #schedule: NoiseSchedule;
  readonly #trainingSigmas: Float32Array;
  readonly #solverOrder: number;
  readonly #predictionType: PredictionType;
  readonly #thresholding: Thresholding | undefined;
  readonly #algorithmType: AlgorithmType;
  readonly #solverType: (typeof solverTypes)[number];
  readonly #lowerOrderFinal: boolean;
  readonly #eulerAtFinal: boolean;
  readonly #spread: SigmaSpread | 'lu';
  readonly #finalSigmasType: FinalSigmasType;
  readonly #spacing: Spacing;
  /** One more than the last timestep that is used: those with a lambda below `lambda_min_clipped` are not. */
  readonly #end: number;
  #timesteps: readonly number[] = [];
  #sigmas: Float32Array;
  #position = new StepPosition([]);
  /** Converted outputs of the latest steps, the newest first; at most as many as the order. */
  #outputs: readonly Float32Array[] = [];

  /** `values` is a scheduler_config.json, of this class or another. */
  constructor(values: RawConfig) {
    this.#values = values;
    const config = schedulerConfig(values);
    config.refuseUnsupported({ use_flow_sigmas: [false], variance_type: [false] });
    this.#schedule = readNoiseSchedule(config);
    this.#trainingSigmas = trainingSigmas(this.#schedule);
    this.#solverOrder = config.integer('solver_order', 2, { most: 3 });
    this.#predictionType = config.choice('prediction_type', predictionTypes, 'epsilon');
    this.#thresholding = readThresholding(config);
    this.#algorithmType = config.choice('algorithm_type', algorithmTypes, 'dpmsolver++', algorithmAliases);
    this.#solverType = config.choice('solver_type', solverTypes, 'midpoint', solverAliases);
    this.#lowerOrderFinal = config.boolean('lower_order_final', true);
    this.#eulerAtFinal = config.boolean('euler_at_final', false);
    this.#spread = readDpmSigmaSpread(config);
    this.#finalSigmasType = config.choice('final_sigmas_type', finalSigmasTypes, 'zero');
    this.#spacing = readSpacing(config, 'linspace');
    this.#end = clippedEnd(this.#schedule, config.extendedNumber('lambda_min_clipped', -Infinity));
    this.#sigmas = this.#trainingSigmas;
    this.#checkAlgorithm(config);
  }

  get timesteps(): readonly number[] {
    return this.#timesteps;
  }

  get sigmas(): Float32Array {
    return this.#sigmas;
  }

  setTimesteps(numInferenceSteps: number): void {
    checkInferenceSteps(numInferenceSteps, this.#schedule.numTrainTimesteps);
    const spread = this.#spreadSigmas(numInferenceSteps);
    const timesteps = spread ? this.#timestepsOf(spread) : this.#spacedTimesteps(numInferenceSteps);
    const sigmas = spread ?? timesteps.map((timestep) => interpolate(timestep, this.#trainingSigmas));
    const last = this.#finalSigmasType === 'zero' ? 0 : (this.#trainingSigmas[0] as number);
    this.#sigmas = Float32Array.from([...sigmas, last]);
    this.#timesteps = timesteps;
    this.#position = new StepPosition(timesteps);
    this.#outputs = [];
  }

  scaleModelInput(sample: Float32Array): Float32Array {
    return sample;
  }

  step(
    modelOutput: Float32Array,
    timestep: number,
    sample: Float32Array,
    { noise, batch = 1 }: StepOptions = {},
  ): Float32Array {
    const index = this.#position.at(timestep);
    const output = this.#convertModelOutput(modelOutput, sample, this.#level(index), batch);
    this.#outputs = [output, ...this.#outputs].slice(0, this.#solverOrder);
    const weights = updateWeights[this.#algorithmType](this.#level(index), this.#level(index + 1));
    const terms = [[weights.sample, sample] as const, ...this.#derivativeTerms(index, weights)];
    if (weights.noise !== undefined) {
      if (!noise) throw new Error(`a step of ${this.#algorithmType} needs a source of noise`);
      terms.push([weights.noise, noise()]);
    }
    this.#position.advance();
    return linearCombination(terms);
  }

  fork(cut: (whole: Float32Array) => Float32Array): DPMSolverMultistepScheduler {
    const fork = new DPMSolverMultistepScheduler(this.#values);
    fork.#timesteps = this.#timesteps;
    fork.#sigmas = this.#sigmas;
    fork.#position = this.#position.copy();
    fork.#outputs = this.#outputs.map(cut);
    return fork;
  }

  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array {
    const { alpha, sigma } = this.#level(this.#position.find(timestep));
    return linearCombination([
      [alpha, original],
      [sigma, noise],
    ]);
  }

  /** What diffusers refuses too, or has no formula for. */
  #checkAlgorithm(config: ConfigReader): void {
    const predictsData = this.#algorithmType.endsWith('++');
    if (!predictsData && this.#finalSigmasType === 'zero') {
      throw config.contradiction({ algorithm_type: this.#algorithmType, final_sigmas_type: 'zero' });
    }
    if (this.#algorithmType === 'sde-dpmsolver' && this.#solverOrder === 3) {
      throw config.contradiction({ algorithm_type: this.#algorithmType, solver_order: 3 });
    }
  }

  #level(index: number): NoiseLevel {
    return noiseLevel(this.#sigmas[index] as number);
  }

  /** Below the last one that is used, the lowest one of `linspace` and `leading` left out. */
  #spacedTimesteps(count: number): number[] {
    const { numTrainTimesteps } = this.#schedule;
    if (this.#spacing.name === 'trailing') {
      return spacedTimesteps(this.#spacing, numTrainTimesteps, count, this.#end);
    }
    return spacedTimesteps(this.#spacing, numTrainTimesteps, count + 1, this.#end)
      .map(round)
      .slice(0, -1);
  }

  /** Descending noise levels that do not go by timesteps; undefined where they do. */
  #spreadSigmas(count: number): number[] | undefined {
    if (this.#spread === 'timesteps') return undefined;
    const largest = this.#trainingSigmas.at(-1) as number;
    const smallest = this.#trainingSigmas[0] as number;
    if (this.#spread !== 'lu') return sigmaSpreads[this.#spread](largest, smallest, count);
    return linspace(logarithm(largest), logarithm(smallest), count).map(Math.exp);
  }

  #timestepsOf(sigmas: readonly number[]): number[] {
    const logSigmas = this.#trainingSigmas.map(Math.log);
    const rounds =
      (this.#spread === 'karras' || this.#spread === 'lu') &&
      this.#schedule.betaSchedule !== 'squaredcos_cap_v2';
    return sigmas
      .map((sigma) => timestepOfSigma(sigma, logSigmas))
      .map((timestep) => (rounds ? round(timestep) : Math.trunc(timestep)));
  }

  /** The prediction that the algorithm goes by: of the image for the `++` ones, else of the noise. */
  #convertModelOutput(
    modelOutput: Float32Array,
    sample: Float32Array,
    level: NoiseLevel,
    batch: number,
  ): Float32Array {
    if (this.#algorithmType.endsWith('++')) {
      const original = predictOriginal(this.#predictionType, modelOutput, sample, level);
      return this.#thresholding ? thresholdSample(original, batch, this.#thresholding) : original;
    }
    const epsilon = predictEpsilon(this.#predictionType, modelOutput, sample, level);
    if (!this.#thresholding) return epsilon;
    const original = remainder(sample, level.sigma, epsilon, level.alpha);
    return remainder(sample, level.alpha, thresholdSample(original, batch, this.#thresholding), level.sigma);
  }

  /**
   * The order of the update at a step: no higher than there are outputs, and lower towards the end of a short
   * run.
   */
  #orderAt(index: number): number {
    const remaining = this.#timesteps.length - index;
    const lowers = this.#lowerOrderFinal && this.#timesteps.length < MANY_STEPS;
    const lastIsFirstOrder = lowers || this.#eulerAtFinal || this.#finalSigmasType === 'zero';
    if (remaining === 1 && lastIsFirstOrder) return 1;
    return remaining === 2 && lowers ? Math.min(this.#outputs.length, 2) : this.#outputs.length;
  }

  #derivativeTerms(index: number, weights: UpdateWeights): Term[] {
    const order = this.#orderAt(index);
    const [m0, m1, m2] = this.#outputs as [Float32Array, Float32Array, Float32Array];
    if (order === 1) return [[weights.d0, m0]];
    const step = this.#lambdaStep(index);
    const r0 = Math.fround(this.#lambdaStep(index - 1) / step);
    const d1 = dividedDifference(m0, m1, r0);
    if (order === 2) {
      const weight = this.#solverType === 'heun' ? weights.d1Heun : weights.d1Midpoint;
      return [
        [weights.d0, m0],
        [weight, d1],
      ];
    }
    const r1 = Math.fround(this.#lambdaStep(index - 2) / step);
    const change = difference(d1, dividedDifference(m1, m2, r1));
    const sum = Math.fround(r0 + r1);
    return [
      [weights.d0, m0],
      [
        weights.d1Heun,
        linearCombination([
          [1, d1],
          [Math.fround(r0 / sum), change],
        ]),
      ],
      [weights.d2 as number, linearCombination([[Math.fround(1 / sum), change]])],
    ];
  }

  /** How far lambda goes in the step at `index`. */
  #lambdaStep(index: number): number {
    return Math.fround(this.#level(index + 1).lambda - this.#level(index).lambda);
  }
}

function readDpmSigmaSpread(config: ConfigReader): SigmaSpread | 'lu' {
  const spread = readSigmaSpread(config);
  const lu = config.boolean('use_lu_lambdas', false);
  // Karras sigmas win over Lu's lambdas, and those over the others, as in diffusers.
  return lu && spread !== 'karras' ? 'lu' : spread;
}

function clippedEnd(schedule: NoiseSchedule, lambdaMin: number): number {
  const lambdas = finiteAlphas(schedule).map(
    (alpha) => logarithm(Math.sqrt(alpha)) - logarithm(Math.sqrt(Math.fround(1 - alpha))),
  );
  const below = lambdas.reduce((count, lambda) => (lambda < lambdaMin ? count + 1 : count), 0);
  return schedule.numTrainTimesteps - below;
}

/** Of a number rounded to float32, itself rounded. */
function logarithm(value: number): number {
  return Math.fround(Math.log(Math.fround(value)));
}

function difference(a: Float32Array, b: Float32Array): Float32Array {
  return linearCombination([
    [1, a],
    [-1, b],
  ]);
}

/** `(a - b) / distance`, by the reciprocal */
function dividedDifference(a: Float32Array, b: Float32Array, distance: number): Float32Array {
  return linearCombination([[Math.fround(1 / distance), difference(a, b)]]);
}
