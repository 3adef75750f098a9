import { extname } from 'node:path';
import { readWhole } from '../base/file-io.js';
import { loadSharp } from '../images/open-image.js';
import { type Image, readImage } from '../images/pixels.js';
import { readPngTexts } from '../images/png-text.js';

/** A picture's file with its pixels. */
export interface LoadedPicture {
  readonly path: string;
  readonly image: Image;
  /** What the PNG says it was drawn from (its text chunk `prompt`). */
  readonly prompt: string | undefined;
}

const THUMBNAIL_QUALITY = 80;
/** A page holds it as text, and texts have half a gigabyte at most. */
const MAX_FILE_BYTES = 2 ** 28;

export async function loadPicture(path: string): Promise<LoadedPicture> {
  const [image, texts] = await Promise.all([readImage(path), readPngTexts(path)]);
  return { path, image, prompt: texts?.get('prompt') };
}

/** A WebP picture no wider or higher than `side`, as a URI. */
export async function thumbnailUri({ pixels, width, height }: Image, side: number): Promise<string> {
  const thumbnail = await loadSharp()(pixels, { raw: { width, height, channels: 3 } })
    .resize(side, side, { fit: 'inside', withoutEnlargement: true })
    .webp({ quality: THUMBNAIL_QUALITY })
    .toBuffer();
  return dataUri(thumbnail, 'webp');
}

/** The whole file as a URI. */
export async function pictureUri(path: string): Promise<string> {
  const file = await readWhole(path, { most: MAX_FILE_BYTES, of: 'a picture' }, 'usage');
  return dataUri(file, extname(path).slice(1).toLowerCase().replace('jpg', 'jpeg'));
}

function dataUri(bytes: Buffer, type: string): string {
  return `data:image/${type};base64,${bytes.toString('base64')}`;
}
