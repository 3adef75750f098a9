import sharp from 'sharp';
import { DistriError, toError } from '../base/errors.js';
import { type Tensor, uint8 } from '../tensor/tensor.js';

/**
 * A picture `[1, height, width, 3]` from an image file, upright as its EXIF data says, without alpha, its sides cut down to multiples of `unit`
 * pixels by resampling (Lanczos), as diffusers' VaeImageProcessor does. What can't be read is a `usage` error.
 */
export async function readPicture(path: string, unit: number): Promise<Tensor<'uint8'>> {
  try {
    const upright = sharp(path, { failOn: 'error' }).autoOrient();
    const { autoOrient: size } = await upright.metadata();
    const fit = (length: number) => Math.max(unit, Math.floor(length / unit) * unit);
    const { data, info } = await upright
      .resize(fit(size.width), fit(size.height), { fit: 'fill', kernel: 'lanczos3' })
      .toColourspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return uint8([1, info.height, info.width, info.channels], new Uint8Array(data));
  } catch (error) {
    const reason = toError(error).message.replaceAll(/\s+/g, ' ');
    throw new DistriError('usage', `${path}: not an image that can be read: ${reason}`, { cause: error });
  }
}
