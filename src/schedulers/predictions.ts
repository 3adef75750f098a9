import { linearCombination, remainder } from './arithmetic.js';

/** What a model's output is: the noise, the image, or the velocity between them. */
export const predictionTypes = ['epsilon', 'sample', 'v_prediction'] as const;
export type PredictionType = (typeof predictionTypes)[number];

/** Scales of image (alpha) and noise (sigma) in a sample. */
export interface Level {
  readonly alpha: number;
  readonly sigma: number;
}

/** The image in a noisy sample, by what a model says of it. */
export function predictOriginal(
  type: PredictionType,
  modelOutput: Float32Array,
  sample: Float32Array,
  { alpha, sigma }: Level,
): Float32Array {
  switch (type) {
    case 'epsilon':
      return remainder(sample, sigma, modelOutput, alpha);
    case 'sample':
      return modelOutput;
    case 'v_prediction':
      return linearCombination([
        [alpha, sample],
        [-sigma, modelOutput],
      ]);
  }
}

/** The noise in a noisy sample, by what a model says of it. */
export function predictEpsilon(
  type: PredictionType,
  modelOutput: Float32Array,
  sample: Float32Array,
  { alpha, sigma }: Level,
): Float32Array {
  switch (type) {
    case 'epsilon':
      return modelOutput;
    case 'sample':
      return remainder(sample, alpha, modelOutput, sigma);
    case 'v_prediction':
      return linearCombination([
        [alpha, modelOutput],
        [sigma, sample],
      ]);
  }
}
