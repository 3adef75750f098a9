import { createRequire } from 'node:module';
import type { Metadata, Sharp, SharpOptions } from 'sharp';
import { DistriError, type ErrorCode, toError } from '../base/errors.js';
import { requireFile } from '../base/file-io.js';

/**
 * More pixels are refused before any is decoded: a few kilobytes can ask for gigabytes. Pillow, and so
 * diffusers, has the same limit (`PIL.Image.DecompressionBombError`).
 */
const MAX_PIXELS = 178_956_970;

/** An image that is decoded when it is asked for its pixels, and what its header says. */
export interface OpenImage {
  readonly image: Sharp;
  readonly metadata: Metadata;
}

/**
 * Loaded when there is an image: it takes a tenth of a second, and most processes have none. By `require`, as
 * its ES module prints a warning of Node's before 20.18.
 */
export function loadSharp(): typeof import('sharp')['default'] {
  return createRequire(import.meta.url)('sharp');
}

/**
 * Opens the image file at the path `source`, or the bytes of one, and gives it to `use`. What cannot be
 * decoded is an error of `code` that names it `name`.
 */
export async function withImage<T>(
  source: string | Uint8Array,
  name: string,
  code: ErrorCode,
  use: (image: OpenImage) => Promise<T>,
  options: SharpOptions = {},
): Promise<T> {
  if (typeof source === 'string') await requireFile(source, code);
  const sharp = loadSharp();
  try {
    const image = sharp(source, { failOn: 'error', limitInputPixels: MAX_PIXELS, ...options });
    return await use({ image, metadata: await image.metadata() });
  } catch (error) {
    throw unreadable(name, error, code);
  }
}

/** Such as "a.png: not an image that can be read: pngload: libspng read error". */
function unreadable(name: string, thrown: unknown, code: ErrorCode): DistriError {
  if (thrown instanceof DistriError) return thrown;
  const [first = ''] = toError(thrown)
    .message.split('\n')
    .filter((line) => line.trim() !== '');
  const reason = first.includes('exceeds pixel limit')
    ? `it has more than the ${MAX_PIXELS} pixels that are read`
    : first.trim();
  return new DistriError(code, `${name}: not an image that can be read: ${reason}`, { cause: thrown });
}
