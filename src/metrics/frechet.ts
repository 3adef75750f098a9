import type { FeatureSet } from './feature-set.js';
import {
  choleskyInPlace,
  multiplySelf,
  multiplyTransposed,
  nuclearNorm,
  transpose,
} from './linear-algebra.js';

/** Mean of features, trace of their covariance S, and a factor F [rows, dimension] with FᵗF = S. */
export interface Moments {
  readonly mean: Float64Array;
  readonly trace: number;
  readonly factor: Float64Array;
  readonly rows: number;
}

/**
 * The Fréchet distance of two sets of features with these moments: |m1 - m2|² + Tr S1 + Tr S2 - 2 Tr √(S1
 * S2), with covariances over N - 1: the distance of FID. Equals clean-fid's `frechet_distance` but for the
 * rounding errors of its float32 means (4e-9) and of scipy's `sqrtm` of singular products (1e-5).
 *
 * Tr √(S1 S2) is the sum of the singular values of F1 F2ᵗ where FᵗF = S.
 */
export function distanceOfMoments(a: Moments, b: Moments): number {
  const sizes = { m: a.rows, n: b.rows, k: a.mean.length };
  const root = nuclearNorm(multiplyTransposed(a.factor, b.factor, sizes), sizes.m, sizes.n);
  let between = 0;
  for (let i = 0; i < sizes.k; i++) between += ((a.mean[i] as number) - (b.mean[i] as number)) ** 2;
  return between + a.trace + b.trace - 2 * root;
}

/**
 * F is the centred features over √(N-1) where there are no more images than dimensions, otherwise the
 * Cholesky factor of S. Needs two images.
 */
export function moments({ values, count, dimension }: FeatureSet): Moments {
  const mean = new Float64Array(dimension);
  for (let i = 0; i < values.length; i++) {
    mean[i % dimension] = (mean[i % dimension] as number) + (values[i] as number) / count;
  }
  const centred = new Float64Array(values.length);
  const divisor = Math.sqrt(count - 1);
  let trace = 0;
  for (let i = 0; i < values.length; i++) {
    const value = ((values[i] as number) - (mean[i % dimension] as number)) / divisor;
    centred[i] = value;
    trace += value * value;
  }
  if (count <= dimension) return { mean, trace, factor: centred, rows: count };
  const covariance = multiplySelf(transpose(centred, count, dimension), dimension, count);
  choleskyInPlace(covariance, dimension);
  return { mean, trace, factor: transpose(covariance, dimension, dimension), rows: dimension };
}
