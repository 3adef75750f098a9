/** Learned perceptual image patch similarity. */
export interface LpipsNetwork {
  /** The distance of two images, each [3, height, width] with red, green and blue in [0, 1]. */
  distance(a: Float32Array, b: Float32Array, height: number, width: number): Promise<number>;
  release(): Promise<void>;
}

/** Inception-v3 as FID uses it. */
export interface FeatureNetwork {
  /** `pixels` are [batch, 299, 299, 3] in 0..255; the result is [batch, 2048]. */
  features(pixels: Float32Array, batch: number): Promise<Float32Array>;
  release(): Promise<void>;
}
