import type { PictureSize } from '../base/sizes.js';
import { type Tensor, uint8 } from '../tensor/tensor.js';
import { withImage } from './open-image.js';

/** Height and width of the picture at `path` as people see it: turned as its EXIF orientation says. */
export async function pictureSize(path: string): Promise<PictureSize> {
  return withImage(path, path, 'usage', async ({ metadata: { autoOrient } }) => {
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
 * The picture at `path` as models see pictures, `[1, height, width, 3]`: turned as its EXIF orientation says,
 * transparent parts on white, stretched to `size` where that is another by sharp's Lanczos filter of three
 * lobes (diffusers resizes by Pillow's). What cannot be read is a `usage` error.
 */
export async function readPicture(path: string, size: PictureSize): Promise<Tensor<'uint8'>> {
  const { height, width } = size;
  const pixels = await withImage(path, path, 'usage', ({ image }) =>
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
