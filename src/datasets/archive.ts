import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { toError } from '../base/errors.js';
import { datasetError } from './caption-dataset.js';

/** A zip archive, from which files are read singly. Failures are `dataset` errors that name it. */
export class Archive {
  private constructor(
    readonly path: string,
    private readonly zip: ZipFile,
    private readonly entries: ReadonlyMap<string, Entry>,
  ) {}

  static open(path: string): Promise<Archive> {
    return reading(path, async () => {
      const zip = await openPromise(path, { autoClose: false });
      const entries = new Map<string, Entry>();
      for await (const entry of zip.eachEntry()) entries.set(entry.fileName, entry);
      return new Archive(path, zip, entries);
    });
  }

  /** Paths within the archive. */
  get names(): string[] {
    return [...this.entries.keys()].filter((name) => !name.endsWith('/'));
  }

  read(name: string): Promise<Buffer> {
    const where = `${this.path}: ${name}`;
    const entry = this.entries.get(name);
    if (entry === undefined) throw datasetError(where, 'no such file in the archive');
    return reading(where, async () => {
      const content = await buffer(await this.zip.openReadStreamPromise(entry));
      if (crc32(content) !== entry.crc32) throw new Error('its checksum is wrong');
      return content;
    });
  }

  close(): void {
    this.zip.close();
  }
}

async function reading<T>(where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw datasetError(where, `cannot be read from the archive: ${toError(error).message}`, error);
  }
}
