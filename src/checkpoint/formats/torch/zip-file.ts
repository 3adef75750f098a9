import type { FileHandle } from 'node:fs/promises';
import { type Entry, fromFdPromise, type ZipFile } from 'yauzl';
import { readExactly } from '../../../base/file-io.js';
import { quote } from '../../../base/quote.js';
import { itemSize } from '../safetensors.js';
import { ByteReader } from './byte-reader.js';
import type { TorchContent } from './content.js';
import { unpickle } from './pickle.js';
import { TorchEnvironment } from './rebuild.js';

const PICKLE = 'data.pkl';

/**
 * Reads torch's zip format: state dicts since torch 1.6, and TorchScript archives, whose code is left alone.
 * One folder of any name holds the pickle and a file for each storage, all of them not compressed.
 */
export async function readZip(handle: FileHandle, size: number): Promise<TorchContent> {
  // Who opened the handle closes it.
  const zip = await fromFdPromise(handle.fd, { autoClose: false });
  const entries = await entriesByPath(zip, size);
  const [top] = [...entries.keys()].filter(
    (path) => path.split('/').length === 2 && path.endsWith(`/${PICKLE}`),
  );
  if (top === undefined) throw new Error(`is a zip archive without ${PICKLE}, and so not one of torch`);
  const folder = top.slice(0, -PICKLE.length);
  await checkByteOrder(zip, entries.get(`${folder}byteorder`), handle);
  const start = await dataStart(zip, entries.get(top) as Entry, size);
  const bytes = new ByteReader(handle.fd, start, start + (entries.get(top) as Entry).uncompressedSize);
  const environment = new TorchEnvironment();
  const value = unpickle(bytes, environment);
  const locations = new Map<string, number>();
  for (const { key, dtype, elements } of environment.storages.values()) {
    const entry = entries.get(`${folder}data/${key}`);
    if (entry === undefined) throw new Error(`has no data of storage ${quote(key)}`);
    const length = elements * itemSize(dtype);
    if (entry.uncompressedSize < length) {
      throw new Error(`has ${entry.uncompressedSize} bytes in storage ${quote(key)}, not ${length}`);
    }
    locations.set(key, await dataStart(zip, entry, size));
  }
  return { value, locations, pickleBytes: bytes.position - start };
}

/** The shortest entry of a central directory. */
const LEAST_ENTRY_BYTES = 46;

async function entriesByPath(zip: ZipFile, size: number): Promise<ReadonlyMap<string, Entry>> {
  if (zip.entryCount * LEAST_ENTRY_BYTES > size) throw new Error(`cannot hold ${zip.entryCount} entries`);
  const entries = new Map<string, Entry>();
  for await (const entry of zip.eachEntry()) {
    if (entries.has(entry.fileName)) throw new Error(`has ${quote(entry.fileName)} twice`);
    entries.set(entry.fileName, entry);
  }
  return entries;
}

/** Where the bytes of an entry lie as they are. */
async function dataStart(zip: ZipFile, entry: Entry, size: number): Promise<number> {
  const { fileName, compressionMethod, compressedSize, uncompressedSize } = entry;
  if (compressionMethod !== 0 || compressedSize !== uncompressedSize) {
    throw new Error(`has ${quote(fileName)} compressed, which torch does not do`);
  }
  const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
  if (fileDataStart + uncompressedSize > size) throw new Error(`ends before the end of ${quote(fileName)}`);
  return fileDataStart;
}

/** Files of torch before 2.1 do not say it, and are little-endian but for those of very rare machines. */
async function checkByteOrder(zip: ZipFile, entry: Entry | undefined, handle: FileHandle): Promise<void> {
  if (entry === undefined) return;
  const { size } = await handle.stat();
  const order = Buffer.alloc(Math.min(entry.uncompressedSize, 'little'.length));
  await readExactly(handle, order, await dataStart(zip, entry, size));
  if (order.toString('latin1') !== 'little')
    throw new Error('was written on a big-endian machine, which is not supported');
}
