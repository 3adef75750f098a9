import type { ConfigReader } from '../base/config-reader.js';
import { DistriError, expected } from '../base/errors.js';
import { arange, linspace, round } from './numpy.js';

const timestepSpacings = ['linspace', 'leading', 'trailing'] as const;

/** How the timesteps of a run are spread over those of the training; table 2 of Lin et al. (2023). */
export interface Spacing {
  readonly name: (typeof timestepSpacings)[number];
  /** Added to the timesteps of `leading`. */
  readonly offset: number;
}

const MAX_OFFSET = 1_000_000;

/** `fallback` is the class's own. */
export function readSpacing(config: ConfigReader, fallback: Spacing['name']): Spacing {
  return {
    name: config.choice('timestep_spacing', timestepSpacings, fallback),
    offset: config.integer('steps_offset', 0, { least: 0, most: MAX_OFFSET }),
  };
}

/** A model knows no more steps than it was trained with. */
export function checkInferenceSteps(numInferenceSteps: number, numTrainTimesteps: number): void {
  const valid =
    Number.isInteger(numInferenceSteps) && numInferenceSteps >= 1 && numInferenceSteps <= numTrainTimesteps;
  if (valid) return;
  const what = `a whole number from 1 to ${numTrainTimesteps} (num_train_timesteps)`;
  throw expected(what, 'num_inference_steps', numInferenceSteps);
}

/**
 * `count` descending timesteps below `end`, at first all that the model was trained with. Those of `linspace`
 * need not be whole.
 */
export function spacedTimesteps(
  { name, offset }: Spacing,
  numTrainTimesteps: number,
  count: number,
  end = numTrainTimesteps,
): number[] {
  switch (name) {
    case 'linspace':
      return linspace(0, end - 1, count).reverse();
    case 'leading':
      return leadingTimesteps(end, count, offset);
    case 'trailing':
      return trailingTimesteps(end, numTrainTimesteps, count);
  }
}

/**
 * Descending to `offset` at the largest whole distance with which `count` of them stay below `end + offset`.
 */
function leadingTimesteps(end: number, count: number, offset: number): number[] {
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
 * Descending from `start - 1` at the distance `numTrainTimesteps / count`, rounded. Where that distance is
 * rounded down, numpy's arange gives diffusers one timestep more, -1, which no model knows; it is left out
 * here.
 */
function trailingTimesteps(start: number, numTrainTimesteps: number, count: number): number[] {
  return arange(start, 0, -numTrainTimesteps / count)
    .map((end) => round(end) - 1)
    .filter((timestep) => timestep >= 0);
}
