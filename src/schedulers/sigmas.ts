import type { ConfigReader } from '../base/config-reader.js';
import { inverseBeta } from './beta-distribution.js';
import type { NoiseSchedule } from './noise-schedule.js';
import { linspace } from './numpy.js';

/** FP16's smallest number: what stands for an alpha of 0, whose sigma would be infinite. */
const SMALLEST_ALPHA = 2 ** -24;

const KARRAS_RHO = 7;

/** The noise level after the last step. */
export const finalSigmasTypes = ['zero', 'sigma_min'] as const;
export type FinalSigmasType = (typeof finalSigmasTypes)[number];

/** How the noise levels of a run are spread between the largest and the smallest. */
export type SigmaSpread = 'timesteps' | 'karras' | 'exponential' | 'beta';

/**
 * `[timesteps]`: the standard deviation of the noise at each timestep, ascending, over an image of scale 1.
 */
export function trainingSigmas(schedule: NoiseSchedule): Float32Array {
  return finiteAlphas(schedule).map((alpha) => Math.sqrt(Math.fround(Math.fround(1 - alpha) / alpha)));
}

/** `[timesteps]`: the schedule's alphas with one above 0 at the end. */
export function finiteAlphas({ alphasCumprod, zeroTerminalSnr }: NoiseSchedule): Float32Array {
  if (!zeroTerminalSnr) return alphasCumprod;
  const alphas = alphasCumprod.slice();
  alphas[alphas.length - 1] = SMALLEST_ALPHA;
  return alphas;
}

export function readSigmaSpread(config: ConfigReader): SigmaSpread {
  const asked = (['karras', 'exponential', 'beta'] as const).filter((spread) =>
    config.boolean(`use_${spread}_sigmas`, false),
  );
  const [spread = 'timesteps', other] = asked;
  if (other) throw config.contradiction({ [`use_${spread}_sigmas`]: true, [`use_${other}_sigmas`]: true });
  return spread;
}

/** The variance of an image of scale 1 with noise of level `sigma`. */
export function varianceAt(sigma: number): number {
  return Math.fround(Math.fround(sigma ** 2) + 1);
}

export function deviationAt(sigma: number): number {
  return Math.fround(Math.sqrt(varianceAt(sigma)));
}

/** `count` noise levels descending from `largest` to `smallest`. */
export const sigmaSpreads: Readonly<
  Record<Exclude<SigmaSpread, 'timesteps'>, (largest: number, smallest: number, count: number) => number[]>
> = {
  /** Equation 5 of Karras et al. (2022). */
  karras: (largest, smallest, count) => {
    const first = largest ** (1 / KARRAS_RHO);
    const last = smallest ** (1 / KARRAS_RHO);
    return linspace(0, 1, count).map((ramp) => (first + ramp * (last - first)) ** KARRAS_RHO);
  },
  exponential: (largest, smallest, count) =>
    linspace(Math.log(largest), Math.log(smallest), count).map(Math.exp),
  /** Lee et al. (2024), "Beta Sampling is All You Need". */
  beta: (largest, smallest, count) =>
    linspace(0, 1, count).map((ramp) => smallest + inverseBeta(1 - ramp) * (largest - smallest)),
};

/**
 * The timestep, not rounded, at which the noise has the level `sigma`; `logSigmas` are the training's,
 * ascending.
 */
export function timestepOfSigma(sigma: number, logSigmas: Float32Array): number {
  const logSigma = Math.log(Math.max(sigma, 1e-10));
  const above = logSigmas.findIndex((level) => level > logSigma);
  const lastPair = logSigmas.length - 2;
  const low = Math.min(above === -1 ? lastPair : Math.max(above - 1, 0), lastPair);
  const lowLevel = logSigmas[low] as number;
  const distance = Math.fround(lowLevel - (logSigmas[low + 1] as number));
  const weight = Math.min(Math.max((lowLevel - logSigma) / distance, 0), 1);
  return (1 - weight) * low + weight * (low + 1);
}
