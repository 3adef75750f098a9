import type { ConfigReader } from '../base/config-reader.js';
import { clamped, quotient } from './arithmetic.js';

/** Dynamic thresholding of Saharia et al. (2022), section 2.3. */
export interface Thresholding {
  /** The share of the numbers that is to stay within the threshold. */
  readonly ratio: number;
  readonly maximum: number;
}

export function readThresholding(config: ConfigReader): Thresholding | undefined {
  if (!config.boolean('thresholding', false)) return undefined;
  return {
    ratio: config.number('dynamic_thresholding_ratio', 0.995, { least: 0, most: 1 }),
    maximum: config.number('sample_max_value', 1, { least: 0 }),
  };
}

/** Keeps `batch` predicted images within bounds. */
export type LimitSample = (samples: Float32Array, batch: number) => Float32Array;

/** By dynamic thresholding, or by clipping: `clips` is the class's own value of `clip_sample`. */
export function readSampleLimit(config: ConfigReader, clips: boolean): LimitSample {
  const thresholding = readThresholding(config);
  const range = config.number('clip_sample_range', 1, { least: 0 });
  const clipped = config.boolean('clip_sample', clips);
  if (thresholding) return (samples, batch) => thresholdSample(samples, batch, thresholding);
  return clipped ? (samples) => clamped(samples, range) : (samples) => samples;
}

/**
 * Clips each of `batch` samples to its own threshold and scales it back to [-1, 1], as diffusers'
 * `_threshold_sample`.
 */
export function thresholdSample(samples: Float32Array, batch: number, limits: Thresholding): Float32Array {
  const size = samples.length / batch;
  const result = new Float32Array(samples.length);
  for (let start = 0; start < samples.length; start += size) {
    const sample = samples.subarray(start, start + size);
    const threshold = Math.min(Math.max(quantile(sample.map(Math.abs), limits.ratio), 1), limits.maximum);
    result.set(quotient(clamped(sample, threshold), threshold), start);
  }
  return result;
}

/** `torch.quantile` of float32 numbers; sorts `values` in place. */
function quantile(values: Float32Array, ratio: number): number {
  values.sort();
  const rank = Math.fround(Math.fround(ratio) * (values.length - 1));
  const below = Math.floor(rank);
  const low = values[below] as number;
  const high = values[Math.ceil(rank)] as number;
  return Math.fround(low + (rank - below) * (high - low));
}
