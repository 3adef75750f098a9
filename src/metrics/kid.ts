import type { FeatureSet } from './feature-set.js';
import { multiplyTransposed } from './linear-algebra.js';

/**
 * Kernel inception distance of two feature sets: the unbiased estimate of the squared maximum mean
 * discrepancy with the kernel (x·y / dimension + 1)³, over all images. clean-fid averages this estimate over
 * 100 random subsets of min(N1, N2, 1000) images; with N1 = N2 <= 1000 each of those is the whole set and the
 * value is the same, otherwise theirs is a noisier estimate of the same quantity. Needs two images on each
 * side.
 */
export function kernelInceptionDistance(a: FeatureSet, b: FeatureSet): number {
  return withinMean(a) + withinMean(b) - (2 * kernelSum(a, b)) / (a.count * b.count);
}

/** Mean of the kernel over all pairs of different images of a set. */
function withinMean(set: FeatureSet): number {
  let diagonal = 0;
  for (let row = 0; row < set.count; row++) diagonal += kernelSum(rows(set, row, 1), rows(set, row, 1));
  return (kernelSum(set, set) - diagonal) / (set.count * (set.count - 1));
}

/** So many rows are multiplied at a time, which bounds memory. */
const BLOCK = 256;

function kernelSum(a: FeatureSet, b: FeatureSet): number {
  let sum = 0;
  for (let start = 0; start < a.count; start += BLOCK) {
    const block = rows(a, start, Math.min(BLOCK, a.count - start));
    const sizes = { m: block.count, n: b.count, k: a.dimension };
    const products = multiplyTransposed(block.values, b.values, sizes);
    for (const product of products) sum += (product / a.dimension + 1) ** 3;
  }
  return sum;
}

function rows({ values, dimension }: FeatureSet, start: number, count: number): FeatureSet {
  return { values: values.subarray(start * dimension, (start + count) * dimension), count, dimension };
}
