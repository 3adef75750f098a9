import sharp from 'sharp';
import { DistriError, toError } from '../base/errors.js';
import { type Tensor, uint8 } from '../tensor/tensor.js';

/** Height and width of a picture as people see it: turned as its EXIF orientation says. */
export async function pictureSize(path: string): Promise<{ height: number; width: number }> {
  const { autoOrient } = await reading(path, () => sharp(path).metadata());
  return { height: autoOrient.height, width: autoOrient.width };
}

/**
 * A picture in a size, stretched where the proportions differ, `[1, height, width, 3]`: turned as its EXIF orientation says, transparent
 * parts on white, resized by sharp's Lanczos filter of three lobes (diffusers resizes by Pillow's).
 */
export async function readInitImage(path: string, height: number, width: number): Promise<Tensor<'uint8'>> {
  const pixels = await reading(path, () =>
    sharp(path)
      .autoOrient()
      .flatten({ background: 'white' })
      .toColourspace('srgb')
      .resize({ width, height, fit: 'fill', kernel: 'lanczos3' })
      .raw()
      .toBuffer(),
  );
  return uint8([1, height, width, 3], new Uint8Array(pixels));
}

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new DistriError('usage', `${path}: cannot be read as a picture: ${toError(error).message}`, {
      cause: error,
    });
  }
}
