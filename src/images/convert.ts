import sharp from 'sharp';
import { DistriError, toError } from '../base/errors.js';

/**
 * An image file (JPEG, PNG, WebP) as a PNG of the same pixels, as Pillow saves it: grey stays grey, colour profiles and the
 * orientation in EXIF data are not applied. What cannot be decoded is a `dataset` error that names it `name`.
 */
export async function convertToPng(bytes: Uint8Array, name: string): Promise<Buffer> {
  try {
    const image = sharp(bytes, { ignoreIcc: true, failOn: 'error' });
    const { channels, space } = await image.metadata();
    const grey = channels <= 2 && space === 'b-w';
    return await (grey ? image.toColourspace('b-w') : image).png().toBuffer();
  } catch (error) {
    const reason = toError(error).message.replaceAll(/\s+/g, ' ');
    throw new DistriError('dataset', `${name}: not an image that can be read: ${reason}`, { cause: error });
  }
}
