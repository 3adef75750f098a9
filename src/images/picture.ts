import type { PictureSize } from '../base/sizes.js';
import { type Tensor, uint8 } from '../tensor/tensor.js';
import { withImage } from './open-image.js';

/** A picture as the path of a file, or as what such a file holds. */
export type PictureSource = string | Uint8Array;

/** Height and width of a picture as people see it: turned as its EXIF orientation says. */
export async function pictureSize(source: PictureSource): Promise<PictureSize> {
  return withImage(source, nameOf(source), 'usage', async ({ metadata: { autoOrient } }) => {
    return { height: autoOrient.height, width: autoOrient.width };
  });
}

/**
 * The largest size that is no larger than `size` and whole multiples of `unit` both ways; one of them at
 * least.
 */
export function wholeUnits({ height, width }: PictureSize, unit: number): PictureSize {
  const fit = (length: number) => Math.max(1, Math.floor(length / unit)) * unit;
  return { height: fit(height), width: fit(width) };
}

/**
 * A picture as models see pictures, `[1, height, width, 3]`: turned as its EXIF orientation says, transparent
 * parts on white, stretched to `size` where that is another by sharp's Lanczos filter of three lobes
 * (diffusers resizes by Pillow's). What cannot be read is a `usage` error.
 */
export async function readPicture(source: PictureSource, size: PictureSize): Promise<Tensor<'uint8'>> {
  const { height, width } = size;
  const pixels = await withImage(source, nameOf(source), 'usage', ({ image }) =>
    image
      .autoOrient()
      .flatten({ background: 'white' })
      .toColourspace('srgb')
      .resize({ width, height, fit: 'fill', kernel: 'lanczos3' })
      .raw({ depth: 'uchar' })
      .toBuffer(),
  );
  return uint8([1, height, width, 3], new Uint8Array(pixels));
}

function nameOf(source: PictureSource): string {
  return typeof source === 'string' ? source : 'the picture to begin with';
}
