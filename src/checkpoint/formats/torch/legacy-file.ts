import type { FileHandle } from 'node:fs/promises';
import { quote } from '../../../base/quote.js';
import { itemSize } from '../safetensors.js';
import { ByteReader } from './byte-reader.js';
import type { TorchContent } from './content.js';
import { type PickleEnvironment, unpickle } from './pickle.js';
import { TorchEnvironment } from './rebuild.js';

/** The first pickle of a file: torch's magic number. */
export const legacyStart = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');

const PROTOCOL = 1001;

/**
 * Reads torch's format before 1.6, which lpips and older models still have: five pickles in a row (magic
 * number, protocol, system, value, keys of storages), then for each key the number of elements and the
 * elements.
 */
export function readLegacy(handle: FileHandle, size: number): TorchContent {
  const bytes = new ByteReader(handle.fd, legacyStart.length, size);
  if (unpickle(bytes, nothing) !== PROTOCOL) throw new Error(`is not of torch's protocol ${PROTOCOL}`);
  const system = unpickle(bytes, nothing);
  if (!(system instanceof Map) || system.get('little_endian') !== true) {
    throw new Error('was written on a big-endian machine, which is not supported');
  }
  const environment = new TorchEnvironment();
  const value = unpickle(bytes, environment);
  const pickleBytes = bytes.position;
  const keys = unpickle(bytes, nothing);
  if (!Array.isArray(keys)) throw new Error('has no list of storages');
  return { value, locations: locate(bytes, keys, environment, size), pickleBytes };
}

const nothing: PickleEnvironment = {
  global: (module, name) => {
    throw new Error(`has ${quote(`${module}.${name}`)} where only numbers and texts belong`);
  },
  persistent: () => {
    throw new Error('has a reference where only numbers and texts belong');
  },
};

function locate(
  bytes: ByteReader,
  keys: readonly unknown[],
  { storages }: TorchEnvironment,
  size: number,
): ReadonlyMap<string, number> {
  const locations = new Map<string, number>();
  for (const key of keys) {
    // Not quoted: a list that holds one list again and again is endless as text.
    if (typeof key !== 'string') throw new Error('has a storage that is not named by a text');
    const storage = storages.get(key);
    if (storage === undefined) throw new Error(`has data of storage ${quote(key)}, which nothing refers to`);
    const elements = bytes.take(8).readBigInt64LE();
    if (elements !== BigInt(storage.elements)) {
      throw new Error(`has ${elements} elements in storage ${quote(key)}, not ${storage.elements}`);
    }
    locations.set(storage.key, bytes.position);
    bytes.skip(storage.elements * itemSize(storage.dtype));
  }
  if (bytes.position !== size) throw new Error(`goes on after its last storage, at byte ${bytes.position}`);
  return locations;
}
