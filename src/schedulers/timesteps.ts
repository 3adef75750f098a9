import { DistriError, expected } from '../base/errors.js';
import { arange, linspace, round } from './numpy.js';

export const timestepSpacings = ['linspace', 'leading', 'trailing'] as const;
export type TimestepSpacing = (typeof timestepSpacings)[number];

/** A model knows no more steps than it was trained with. */
export function checkInferenceSteps(numInferenceSteps: number, numTrainTimesteps: number): void {
  const valid =
    Number.isInteger(numInferenceSteps) && numInferenceSteps >= 1 && numInferenceSteps <= numTrainTimesteps;
  if (valid) return;
  const what = `a whole number from 1 to ${numTrainTimesteps} (num_train_timesteps)`;
  throw expected(what, 'num_inference_steps', numInferenceSteps);
}

/** Descending from `last` to 0 at equal distances, which need not be whole; table 2 of Lin et al. (2023). */
export function linspaceTimesteps(last: number, count: number): number[] {
  return linspace(0, last, count).reverse();
}

/** Descending to `offset` at the largest whole distance with which `count` of them stay below `end + offset`. */
export function leadingTimesteps(end: number, count: number, offset: number): number[] {
  const distance = Math.floor(end / count);
  if (distance === 0) {
    throw new DistriError(
      'usage',
      `timestep_spacing "leading" cannot place ${count} different timesteps below ${end}; use fewer steps`,
    );
  }
  return Array.from({ length: count }, (_, i) => i * distance + offset).reverse();
}

/**
 * Descending from `start - 1` at the distance `numTrainTimesteps / count`, rounded. Where that distance is rounded
 * down, numpy's arange gives diffusers one timestep more, -1, which no model knows; it is left out here.
 */
export function trailingTimesteps(start: number, numTrainTimesteps: number, count: number): number[] {
  return arange(start, 0, -numTrainTimesteps / count)
    .map((end) => round(end) - 1)
    .filter((timestep) => timestep >= 0);
}

/** Descending whole timesteps, as schedulers have them that look alphas up by timestep. */
export function wholeTimesteps(
  spacing: TimestepSpacing,
  numTrainTimesteps: number,
  count: number,
  stepsOffset: number,
): number[] {
  switch (spacing) {
    case 'linspace':
      return linspaceTimesteps(numTrainTimesteps - 1, count).map(round);
    case 'leading':
      return leadingTimesteps(numTrainTimesteps, count, stepsOffset);
    case 'trailing':
      return trailingTimesteps(numTrainTimesteps, numTrainTimesteps, count);
  }
}
