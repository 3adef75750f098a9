import type { GridSize, PictureSize } from '../base/sizes.js';

/** Sizes of a request's pictures on the way. */
export interface Geometry {
  /** Rows and columns of the latents of one picture. */
  readonly latent: GridSize;
  /** Of the picture that the latents become, before it is resized to what was asked for. */
  readonly decoded: PictureSize;
  /** Tokens of its text. */
  readonly textTokens: number;
}
