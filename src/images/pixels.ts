import type { PictureSize } from '../base/sizes.js';
import { type OpenImage, withImage } from './open-image.js';

/** Red, green and blue of each pixel in 0..255, [height, width, 3]. */
export interface Image extends PictureSize {
  readonly pixels: Uint8Array;
}

/**
 * The image's colours in 8 bits, for comparisons: palettes are looked up, grey becomes three equal channels,
 * of 16 bits the upper eight are taken, transparency is dropped without blending. As in Pillow nothing is
 * rotated and no colour profile is applied. A file that cannot be decoded to its end is a `dataset` error
 * that names it.
 */
export async function readImage(path: string): Promise<Image> {
  const read = async ({ image }: OpenImage) => {
    const rgb = image.toColourspace('srgb').removeAlpha().raw();
    const { data, info } = await rgb.toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, pixels: data };
  };
  return withImage(path, path, 'dataset', read, { ignoreIcc: true, failOn: 'warning' });
}
