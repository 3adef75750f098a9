import { readdir } from 'node:fs/promises';
import { extname, join, relative } from 'node:path';
import { fileError } from '../base/file-io.js';

/** What sharp decodes of what people have. */
const EXTENSIONS = new Set(['.png', '.jpg', '.jpeg', '.webp', '.tif', '.tiff', '.avif', '.gif']);

/** What clean-fid looks for, in exactly these spellings. */
const CLEAN_FID_EXTENSIONS = new Set(
  ['bmp', 'jpg', 'jpeg', 'pgm', 'png', 'ppm', 'tif', 'tiff', 'webp', 'npy', 'JPEG', 'JPG', 'PNG'].map(
    (extension) => `.${extension}`,
  ),
);

/**
 * Which files of a folder are images to compare in pairs, and which of it and the folders in it have
 * features. Both are sorted.
 */
export interface Listing {
  pairs(folder: string): Promise<string[]>;
  features(folder: string): Promise<string[]>;
}

/** All images, whatever the case of their extensions; hidden files are left out. */
export const sensibleListing: Listing = {
  pairs: (folder) => list(folder, false, (name) => !name.startsWith('.') && isImage(name)),
  features: (folder) => list(folder, true, isImage),
};

/** `compute_metrics.py` takes names that end in .png or .jpg; clean-fid has a list of its own. */
export const referenceListing: Listing = {
  pairs: (folder) => list(folder, false, (name) => name.endsWith('.png') || name.endsWith('.jpg')),
  features: (folder) => list(folder, true, (name) => CLEAN_FID_EXTENSIONS.has(extname(name))),
};

function isImage(name: string): boolean {
  return EXTENSIONS.has(extname(name).toLowerCase());
}

/**
 * Names relative to `folder`, in the order of their code points. Below it, hidden files and folders are left
 * out.
 */
async function list(folder: string, below: boolean, wanted: (name: string) => boolean): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: below, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory() && wanted(entry.name))
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
      .filter((name) => !below || !name.split('/').some((part) => part.startsWith('.')))
      .sort(byCodePoints);
  } catch (error) {
    throw fileError(error, folder, 'usage');
  }
}

/**
 * Python's order of strings. UTF-8 keeps it, JavaScript's own order does not for characters beyond U+FFFF.
 */
function byCodePoints(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
