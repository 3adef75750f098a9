import type { Level } from './predictions.js';
import { deviationAt } from './sigmas.js';

export const algorithmTypes = ['dpmsolver++', 'dpmsolver', 'sde-dpmsolver++', 'sde-dpmsolver'] as const;
export type AlgorithmType = (typeof algorithmTypes)[number];

export interface NoiseLevel extends Level {
  /** Half the logarithm of the ratio of the scales squared. */
  readonly lambda: number;
}

/**
 * What the parts of an update are multiplied with; `d0` to `d2` are the derivatives of the model's output.
 */
export interface UpdateWeights {
  readonly sample: number;
  readonly d0: number;
  /** Of `d1` in a second order update with solver type `midpoint`. */
  readonly d1Midpoint: number;
  /** Of `d1` in a second order update with solver type `heun`, and in every third order update. */
  readonly d1Heun: number;
  /** Of `d2` in a third order update, which sde-dpmsolver does not have. */
  readonly d2: number | undefined;
  /** Of fresh noise, in the stochastic algorithms. */
  readonly noise: number | undefined;
}

const f = Math.fround;

/**
 * In float32, as torch has these numbers: alpha and sigma of a sample with variance 1 for a noise level over
 * 1.
 */
export function noiseLevel(sigma: number): NoiseLevel {
  const alpha = f(1 / deviationAt(sigma));
  const scaled = f(sigma * alpha);
  return { alpha, sigma: scaled, lambda: f(f(Math.log(alpha)) - f(Math.log(scaled))) };
}

/**
 * The weights of an update from level `from` to level `to`: Lu et al., "DPM-Solver" (2022) for noise
 * prediction and "DPM-Solver++" (2022) for data prediction, in the form of diffusers'
 * DPMSolverMultistepScheduler.
 */
export const updateWeights: Readonly<
  Record<AlgorithmType, (from: NoiseLevel, to: NoiseLevel) => UpdateWeights>
> = {
  'dpmsolver++': (from, to) => {
    const h = f(to.lambda - from.lambda);
    const decay = f(f(Math.exp(-h)) - 1);
    return {
      sample: f(to.sigma / from.sigma),
      d0: -f(to.alpha * decay),
      d1Midpoint: -f(0.5 * f(to.alpha * decay)),
      d1Heun: f(to.alpha * f(f(decay / h) + 1)),
      d2: -f(to.alpha * f(f(f(decay + h) / f(h ** 2)) - 0.5)),
      noise: undefined,
    };
  },
  dpmsolver: (from, to) => {
    const h = f(to.lambda - from.lambda);
    const growth = f(f(Math.exp(h)) - 1);
    return {
      sample: f(to.alpha / from.alpha),
      d0: -f(to.sigma * growth),
      d1Midpoint: -f(0.5 * f(to.sigma * growth)),
      d1Heun: -f(to.sigma * f(f(growth / h) - 1)),
      d2: -f(to.sigma * f(f(f(growth - h) / f(h ** 2)) - 0.5)),
      noise: undefined,
    };
  },
  'sde-dpmsolver++': (from, to) => {
    const h = f(to.lambda - from.lambda);
    const decay = f(1 - f(Math.exp(-2 * h)));
    return {
      sample: f(f(to.sigma / from.sigma) * f(Math.exp(-h))),
      d0: f(to.alpha * decay),
      d1Midpoint: f(0.5 * f(to.alpha * decay)),
      d1Heun: f(to.alpha * f(f(decay / (-2 * h)) + 1)),
      // The integral has + 0.5; diffusers subtracts, and its results are what is matched.
      d2: f(to.alpha * f(f(f(decay - 2 * h) / f((2 * h) ** 2)) - 0.5)),
      noise: f(to.sigma * f(Math.sqrt(decay))),
    };
  },
  'sde-dpmsolver': (from, to) => {
    const h = f(to.lambda - from.lambda);
    const growth = f(f(Math.exp(h)) - 1);
    return {
      sample: f(to.alpha / from.alpha),
      d0: -2 * f(to.sigma * growth),
      d1Midpoint: -f(to.sigma * growth),
      d1Heun: -2 * f(to.sigma * f(f(growth / h) - 1)),
      d2: undefined,
      noise: f(to.sigma * f(Math.sqrt(f(f(Math.exp(2 * h)) - 1)))),
    };
  },
};
