import { expected } from './errors.js';

/** Of a picture in pixels. */
export interface PictureSize {
  /** In pixels. */
  readonly height: number;
  /** In pixels. */
  readonly width: number;
}

/** Of an image as tensors have it: pixels, latents or tokens. */
export interface GridSize {
  /** Of the whole image, not of a rank's part. */
  readonly rows: number;
  /** Of the whole image, not of a rank's part. */
  readonly columns: number;
}

/** In pixels. No model goes up to such sides; a mistyped number must not ask for all memory. */
export const MAX_SIDE = 32_768;

/** Sides as they are asked for, and as in `own` where they are not. What is no side is refused. */
export function sizeOr(
  own: PictureSize,
  { height = own.height, width = own.width }: { readonly [side in keyof PictureSize]?: number | undefined },
): PictureSize {
  for (const [name, side] of Object.entries({ height, width })) {
    if (Number.isInteger(side) && side >= 1 && side <= MAX_SIDE) continue;
    throw expected(`an integer from 1 to ${MAX_SIDE}`, `the picture's ${name}`, side);
  }
  return { height, width };
}
