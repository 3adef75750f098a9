import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import sharp from 'sharp';
import { DistriError, toError } from '../runtime/errors.js';

/** Red, green and blue of each pixel, 8 bits each, in rows. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** A picture's file with its pixels. */
export interface LoadedPicture {
  readonly path: string;
  readonly file: Buffer;
  readonly pixels: Pixels;
  /** What the PNG says it was drawn from (its text chunk `prompt`). */
  readonly prompt: string | undefined;
}

const THUMBNAIL_QUALITY = 80;

export async function loadPicture(path: string): Promise<LoadedPicture> {
  try {
    const file = await readFile(path);
    const image = sharp(file);
    const { comments } = await image.metadata();
    const { data, info } = await image
      .toColourspace('srgb')
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return {
      path,
      file,
      pixels: { width: info.width, height: info.height, data },
      prompt: comments?.find(({ keyword }) => keyword === 'prompt')?.text,
    };
  } catch (error) {
    throw new DistriError('usage', `${path}: cannot be read as a picture: ${toError(error).message}`, {
      cause: error,
    });
  }
}

/** A WebP picture no wider or higher than `side`. */
export function makeThumbnail({ data, width, height }: Pixels, side: number): Promise<Buffer> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .resize(side, side, { fit: 'inside', withoutEnlargement: true })
    .webp({ quality: THUMBNAIL_QUALITY })
    .toBuffer();
}

export function dataUri(bytes: Buffer, extension: string): string {
  const type = extension.slice(1).toLowerCase().replace('jpg', 'jpeg');
  return `data:image/${type};base64,${bytes.toString('base64')}`;
}

export function pictureUri({ path, file }: LoadedPicture): string {
  return dataUri(file, extname(path));
}
