import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readWhole } from '../base/file-io.js';
import { abbreviate } from '../base/quote.js';
import {
  type CaptionedImage,
  datasetError,
  type ImageReader,
  imageLimit,
  type StoredImage,
} from './caption-dataset.js';

/** Images that are files of their own in one of several folders. */
export class ImageFiles implements ImageReader {
  private readonly paths: readonly string[];

  /** `folders` are where the files may be; all of them are where the first one is. */
  constructor(
    private readonly images: readonly CaptionedImage[],
    folders: readonly string[],
  ) {
    const [first] = images;
    const candidates = folders.flatMap((folder) => [
      (name: string) => join(folder, name),
      (name: string) => join(folder, basename(name)),
    ]);
    const locate = candidates.find((path) => first !== undefined && existsSync(path(first.name)));
    const [fallback = (name: string) => name] = candidates;
    this.paths = images.map(({ name }) => (locate ?? fallback)(name));
  }

  has(index: number): boolean {
    return existsSync(this.paths[index] ?? '');
  }

  async check(count: number): Promise<void> {
    const missing = this.paths.slice(0, count).filter((path) => !existsSync(path));
    const [first] = missing;
    if (first === undefined) return;
    const others = missing.length === 1 ? '' : ` (and ${missing.length - 1} more of ${count} images)`;
    throw datasetError(abbreviate(first, 300), `no such image, but the annotations name it${others}`);
  }

  async read(index: number): Promise<StoredImage> {
    const path = this.paths[index];
    if (path === undefined) throw new Error(`there is no image ${index} of ${this.images.length}`);
    return { name: path, bytes: await readWhole(path, imageLimit, 'dataset') };
  }

  async close(): Promise<void> {}
}
