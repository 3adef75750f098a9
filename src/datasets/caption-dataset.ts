import { createHash } from 'node:crypto';
import { DistriError } from '../base/errors.js';
import type { FileLimit } from '../base/file-io.js';

/** An image as it is stored (JPEG, PNG or WebP), known by its captions until it is read. */
export interface CaptionedImage {
  /** For messages: the file's name, or where in a table it is. */
  readonly name: string;
  /** One at least. */
  readonly captions: readonly string[];
}

/** The bytes of an image file, and what messages call it. */
export interface StoredImage {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Pictures have a few megabytes. */
export const imageLimit: FileLimit = { most: 2 ** 28, of: 'an image' };

/** Reads the images of a data set. */
export interface ImageReader {
  /** Throws a `dataset` error that names the first of the first `count` images that are missing. */
  check(count: number): Promise<void>;
  /** The file of image `index`, as it is stored. */
  read(index: number): Promise<StoredImage>;
  close(): Promise<void>;
}

/** Images with captions, in an order that does not change. */
export interface CaptionDataset {
  /** What people call it. */
  readonly name: string;
  readonly images: readonly CaptionedImage[];
  /** Looks for the files of the images, which drawing captions does not need. */
  openImages(): Promise<ImageReader>;
}

/**
 * The caption that is drawn for each image: number i modulo their count for image i, as distrifuser's scripts
 * choose it.
 */
export function choosePrompts({ images }: CaptionDataset): string[] {
  return images.map(({ captions }, index) => captions[index % captions.length] as string);
}

/** Tells data sets with other prompts apart. */
export function promptsHash(prompts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(prompts)).digest('hex');
}

/** What is wrong with the data set at `where`. */
export function datasetError(where: string, problem: string, cause?: unknown): DistriError {
  return new DistriError('dataset', `${where}: ${problem}`, { cause });
}
