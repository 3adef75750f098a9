import { mean } from './numbers.js';

/** What a list of measurements amounts to. */
export interface Summary {
  readonly min: number;
  readonly median: number;
  /** Nine of ten are at most this. */
  readonly p90: number;
  readonly max: number;
  readonly mean: number;
}

/** `values` must not be empty. */
export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    min: sorted[0] as number,
    median: quantile(sorted, 0.5),
    p90: quantile(sorted, 0.9),
    max: sorted.at(-1) as number,
    mean: mean(values),
  };
}

/**
 * The mean of what is left when the share `ignoreRatio` (0 or more, less than 1) of the values is dropped,
 * half of it from each end of their order, rounded down. As distrifuser's benchmarks.
 */
export function trimmedMean(values: readonly number[], ignoreRatio: number): number {
  const dropped = Math.floor((ignoreRatio * values.length) / 2);
  return mean(values.toSorted((a, b) => a - b).slice(dropped, values.length - dropped));
}

/** Between the two nearest values in proportion, as numpy.quantile's default. */
function quantile(sorted: readonly number[], share: number): number {
  const position = share * (sorted.length - 1);
  const below = sorted[Math.floor(position)] as number;
  const above = sorted[Math.ceil(position)] as number;
  return below + (above - below) * (position - Math.floor(position));
}
