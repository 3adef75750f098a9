import { type OpenImage, withImage } from './open-image.js';

/**
 * An image file (JPEG, PNG, WebP) as a PNG of the same pixels, as Pillow saves it: grey stays grey, colour
 * profiles and the orientation in EXIF data are not applied. What cannot be decoded is a `dataset` error that
 * names it `name`.
 */
export async function convertToPng(bytes: Uint8Array, name: string): Promise<Buffer> {
  const convert = ({ image, metadata: { channels, space } }: OpenImage) => {
    const grey = channels <= 2 && space === 'b-w';
    return (grey ? image.toColourspace('b-w') : image).png().toBuffer();
  };
  return withImage(bytes, name, 'dataset', convert, { ignoreIcc: true });
}
