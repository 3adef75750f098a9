import { DistriError } from '../base/errors.js';
import type { PictureSize } from '../base/sizes.js';

/** diffusers' ASPECT_RATIO_1024_BIN: height / width as it is looked up, height, width. */
const bins1024: readonly (readonly [ratio: number, height: number, width: number])[] = [
  [0.25, 512, 2048],
  [0.28, 512, 1856],
  [0.32, 576, 1792],
  [0.33, 576, 1728],
  [0.35, 576, 1664],
  [0.4, 640, 1600],
  [0.42, 640, 1536],
  [0.48, 704, 1472],
  [0.5, 704, 1408],
  [0.52, 704, 1344],
  [0.57, 768, 1344],
  [0.6, 768, 1280],
  [0.68, 832, 1216],
  [0.72, 832, 1152],
  [0.78, 896, 1152],
  [0.82, 896, 1088],
  [0.88, 960, 1088],
  [0.94, 960, 1024],
  [1.0, 1024, 1024],
  [1.07, 1024, 960],
  [1.13, 1088, 960],
  [1.21, 1088, 896],
  [1.29, 1152, 896],
  [1.38, 1152, 832],
  [1.46, 1216, 832],
  [1.67, 1280, 768],
  [1.75, 1344, 768],
  [2.0, 1408, 704],
  [2.09, 1472, 704],
  [2.4, 1536, 640],
  [2.5, 1600, 640],
  [3.0, 1728, 576],
  [4.0, 2048, 512],
];

/**
 * By sample_size: the tables of smaller models have the same ratios with a half or a quarter of the pixels
 * per side.
 */
const divisors: Readonly<Record<number, number>> = { 128: 1, 64: 2, 32: 4 };

/**
 * The size at which a model was trained whose aspect ratio is nearest to this one's, the first of two that
 * are equally near. As diffusers' PixArtImageProcessor.classify_height_width_bin.
 */
export function resolutionBin(sampleSize: number, { height, width }: PictureSize): PictureSize {
  const divisor = divisors[sampleSize];
  if (divisor === undefined) {
    throw new DistriError(
      'unsupported',
      `transformer/config.json: there are no resolution bins for sample_size = ${sampleSize}, only for 128, 64 and 32; ` +
        '--no_resolution_binning would work',
    );
  }
  const distance = ([ratio]: readonly number[]) => Math.abs((ratio as number) - height / width);
  const [, binHeight, binWidth] = bins1024.reduce((best, bin) =>
    distance(bin) < distance(best) ? bin : best,
  );
  return { height: binHeight / divisor, width: binWidth / divisor };
}
