import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { DistriError, toError } from '../base/errors.js';
import { type FileLimit, requireFile } from '../base/file-io.js';
import { bytesText } from '../base/numbers.js';
import { abbreviate } from '../base/quote.js';
import { datasetError } from './caption-dataset.js';

/** COCO's largest archive has 123,000 files. */
const MAX_ENTRIES = 1_000_000;

/** A zip archive, from which files are read singly. Failures are `dataset` errors that name it. */
export class Archive {
  private constructor(
    readonly path: string,
    private readonly zip: ZipFile,
    private readonly entries: ReadonlyMap<string, Entry>,
  ) {}

  static async open(path: string): Promise<Archive> {
    await requireFile(path, 'dataset');
    return reading(path, async () => {
      const zip = await openPromise(path, { autoClose: false });
      try {
        return new Archive(path, zip, await readEntries(zip));
      } catch (error) {
        zip.close();
        throw error;
      }
    });
  }

  /** Closes the archive when `use` is through with it. */
  static async use<T>(path: string, use: (archive: Archive) => T | Promise<T>): Promise<T> {
    const archive = await Archive.open(path);
    try {
      return await use(archive);
    } finally {
      archive.close();
    }
  }

  /** Paths within the archive. */
  get names(): string[] {
    return [...this.entries.keys()].filter((name) => !name.endsWith('/'));
  }

  /** The file `name`; one that is longer than `most` is refused before anything of it is unpacked. */
  read(name: string, { most, of }: FileLimit): Promise<Buffer> {
    const where = `${this.path}: ${abbreviate(name)}`;
    const entry = this.entries.get(name);
    if (entry === undefined) throw datasetError(where, 'no such file in the archive');
    return reading(where, async () => {
      const { uncompressedSize } = entry;
      if (uncompressedSize > most) {
        const sizes = `${bytesText(uncompressedSize)}, but at most ${bytesText(most)} are expected of ${of}`;
        throw new Error(sizes);
      }
      // The stream ends with an error at more bytes than the archive has promised.
      const content = await buffer(await this.zip.openReadStreamPromise(entry));
      if (crc32(content) !== entry.crc32) throw new Error('its checksum is wrong');
      return content;
    });
  }

  close(): void {
    this.zip.close();
  }
}

async function readEntries(zip: ZipFile): Promise<Map<string, Entry>> {
  if (zip.entryCount > MAX_ENTRIES) throw new Error(`it has more than ${MAX_ENTRIES} files`);
  const entries = new Map<string, Entry>();
  for await (const entry of zip.eachEntry()) entries.set(entry.fileName, entry);
  return entries;
}

async function reading<T>(where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DistriError) throw error;
    throw datasetError(where, `cannot be read from the archive: ${toError(error).message}`, error);
  }
}
