/** Features of `count` images: `values` is [count, dimension]. */
export interface FeatureSet {
  readonly values: Float32Array;
  readonly count: number;
  readonly dimension: number;
}
