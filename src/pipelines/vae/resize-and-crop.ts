import type { PictureSize } from '../../base/sizes.js';
import { float32, type Tensor } from '../../tensor/tensor.js';

/** Where a row or column of the result is taken from. */
interface Sample {
  readonly first: number;
  readonly second: number;
  /** Of the second; the first has the rest. */
  readonly weight: number;
}

/**
 * Pictures `[images, channels, rows, columns]` scaled to cover this size, bilinear without antialiasing, and
 * cut around the middle. As diffusers' PixArtImageProcessor.resize_and_crop_tensor, in torch's arithmetic.
 */
export function resizeAndCrop(
  pictures: Tensor<'float32'>,
  { height, width }: PictureSize,
): Tensor<'float32'> {
  const [images, channels, rows, columns] = pictures.shape as [number, number, number, number];
  if (rows === height && columns === width) return pictures;
  const ratio = Math.max(height / rows, width / columns);
  const vertical = samples(rows, Math.floor(rows * ratio), height);
  const horizontal = samples(columns, Math.floor(columns * ratio), width);
  const data = new Float32Array(images * channels * height * width);
  for (let plane = 0; plane < images * channels; plane++) {
    const source = pictures.data.subarray(plane * rows * columns, (plane + 1) * rows * columns);
    const target = data.subarray(plane * height * width, (plane + 1) * height * width);
    resamplePlane(source, columns, target, vertical, horizontal);
  }
  return float32([images, channels, height, width], data);
}

function resamplePlane(
  source: Float32Array,
  columns: number,
  target: Float32Array,
  vertical: readonly Sample[],
  horizontal: readonly Sample[],
): void {
  for (const [row, { first, second, weight }] of vertical.entries()) {
    const along = (line: number, sample: Sample) =>
      (1 - sample.weight) * (source[line * columns + sample.first] as number) +
      sample.weight * (source[line * columns + sample.second] as number);
    for (const [column, sample] of horizontal.entries()) {
      target[row * horizontal.length + column] =
        (1 - weight) * along(first, sample) + weight * along(second, sample);
    }
  }
}

/**
 * The middle `kept` of `resized` samples of a line of `length`; the rounding down of `resized` must not lose
 * the last one.
 */
function samples(length: number, resized: number, kept: number): Sample[] {
  const all = Math.max(resized, kept);
  const start = Math.floor((all - kept) / 2);
  const scale = Math.fround(length / all);
  return Array.from({ length: kept }, (_, index) => {
    const place = Math.max(Math.fround(Math.fround(scale * (start + index + 0.5)) - 0.5), 0);
    const first = Math.min(Math.floor(place), length - 1);
    return {
      first,
      second: Math.min(first + 1, length - 1),
      weight: Math.fround(place - first),
    };
  });
}
