import type { Shape, Tensor } from '../../tensor/tensor.js';

/**
 * What samplers take of a model's prediction `[unconditional…, conditional…]`: classifier-free guidance of
 * this scale, none where it is undefined, and only as many channels as the latents `[images, channels, rows,
 * columns]` have. A new array.
 */
export function guidedNoise(
  predicted: Tensor<'float32'>,
  [images, wanted]: Shape,
  guidanceScale: number | undefined,
): Float32Array {
  const guided = guidanceScale === undefined ? predicted.data.slice() : guide(predicted.data, guidanceScale);
  const channels = predicted.shape[1] as number;
  return channels === wanted ? guided : firstChannels(guided, images as number, channels, wanted as number);
}

/** The first `wanted` of each image's channels: the others are a variance that samplers do not use. */
function firstChannels(images: Float32Array, count: number, channels: number, wanted: number): Float32Array {
  const plane = images.length / (count * channels);
  const kept = new Float32Array(count * wanted * plane);
  for (let image = 0; image < count; image++) {
    const start = image * channels * plane;
    kept.set(images.subarray(start, start + wanted * plane), image * wanted * plane);
  }
  return kept;
}

/** Classifier-free guidance: `[unconditional…, conditional…]` -> `u + scale * (c - u)`. */
function guide(predicted: Float32Array, scale: number): Float32Array {
  const half = predicted.length / 2;
  const guided = new Float32Array(half);
  for (let i = 0; i < half; i++) {
    const unconditional = predicted[i] as number;
    guided[i] = unconditional + scale * ((predicted[half + i] as number) - unconditional);
  }
  return guided;
}
