/**
 * The mean squared difference of pixels in 0..255, as a share of the range: 0 for identical, 1 for black
 * against white.
 */
function meanSquaredError(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    sum += difference * difference;
  }
  return sum / a.length / (255 * 255);
}

/**
 * Peak signal-to-noise ratio in dB of two images of one size with values in 0..255; `Infinity` when they are
 * identical. Equals torchmetrics' `PeakSignalNoiseRatio(data_range=1)` on the values divided by 255, up to
 * its float32 (1e-6 relative).
 */
export function psnr(a: Uint8Array, b: Uint8Array): number {
  return -10 * Math.log10(meanSquaredError(a, b));
}
