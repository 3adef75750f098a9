import sharp from 'sharp';
import { DistriError, toError } from '../base/errors.js';
import type { PictureSize } from '../base/sizes.js';

/** Red, green and blue of each pixel in 0..255, [height, width, 3]. */
export interface Image extends PictureSize {
  readonly pixels: Uint8Array;
}

/**
 * The image's colours in 8 bits: palettes are looked up, grey becomes three equal channels, of 16 bits the upper eight are taken,
 * transparency is dropped without blending. As in Pillow nothing is rotated and no colour profile is applied.
 * A file that cannot be decoded to its end is a `dataset` error that names it.
 */
export async function readImage(path: string): Promise<Image> {
  try {
    const { data, info } = await sharp(path, { ignoreIcc: true })
      .toColourspace('srgb')
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, pixels: data };
  } catch (error) {
    throw unreadable(path, toError(error).message);
  }
}

/** Such as "a.png: cannot be read as an image: pngload: libspng read error". */
export function unreadable(path: string, reason: string): DistriError {
  const [first = ''] = reason.split('\n').filter((line) => line.trim() !== '');
  return new DistriError('dataset', `${path}: cannot be read as an image: ${first.trim()}`);
}
