import { basename } from 'node:path';
import { abbreviate } from '../base/quote.js';
import type { Archive } from './archive.js';
import {
  type CaptionedImage,
  datasetError,
  type ImageReader,
  imageLimit,
  type StoredImage,
} from './caption-dataset.js';

interface ArchivedFile {
  readonly archive: Archive;
  readonly name: string;
}

/** Images in zip archives, as COCO's come; found by their path in the archive or by the last part of it. */
export class ImageArchives implements ImageReader {
  private readonly files = new Map<string, ArchivedFile>();

  constructor(
    private readonly images: readonly CaptionedImage[],
    private readonly archives: readonly Archive[],
  ) {
    for (const archive of archives) {
      for (const name of archive.names) {
        this.files.set(name, { archive, name });
        if (!this.files.has(basename(name))) this.files.set(basename(name), { archive, name });
      }
    }
  }

  has(index: number): boolean {
    return this.find(index) !== undefined;
  }

  async check(count: number): Promise<void> {
    const missing = this.images.slice(0, count).findIndex((_, index) => !this.has(index));
    if (missing >= 0) throw this.missing(missing);
  }

  async read(index: number): Promise<StoredImage> {
    const file = this.find(index);
    if (file === undefined) throw this.missing(index);
    return {
      name: `${file.archive.path}: ${abbreviate(file.name)}`,
      bytes: await file.archive.read(file.name, imageLimit),
    };
  }

  async close(): Promise<void> {
    for (const archive of this.archives) archive.close();
  }

  private find(index: number): ArchivedFile | undefined {
    const { name } = this.images[index] ?? { name: '' };
    return this.files.get(name) ?? this.files.get(basename(name));
  }

  private missing(index: number): Error {
    const paths = this.archives.map(({ path }) => path).join(', ');
    return datasetError(
      paths,
      `no image ${abbreviate(this.images[index]?.name ?? '')}, but the annotations name it`,
    );
  }
}
