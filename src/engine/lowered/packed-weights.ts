import { createHash } from 'node:crypto';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeCacheFolder, packedWeightsDir } from '../../base/cache-dir.js';
import { requireSpace } from '../../base/disk-space.js';
import { DistriError } from '../../base/errors.js';
import { fileError, isFile, replaceFile, writeExactly } from '../../base/file-io.js';
import { sum } from '../../base/numbers.js';
import { removeAbandoned } from '../../checkpoint/conversion.js';
import { encodeHeader, SafetensorsFile } from '../../checkpoint/formats/safetensors.js';
import type { NoteOnce } from '../executable.js';
import { loadAddon } from '../load.js';
import type { WeightContent } from './shared-memory.js';
import type { Storage } from './view.js';
import { formOf, isPacked, type ProductWeight, readUnpacked } from './weight-bytes.js';

/** Packed weights in a file that is open: whatever becomes of its name, these stay. */
export interface PackedFile {
  /** A path of it for this process. */
  readonly file: string;
  readonly offsets: ReadonlyMap<Storage, number>;
  /** What is mapped stays so. */
  close(): Promise<void>;
}

export interface PackedOptions {
  readonly threads: number;
  /** Where packed weights are kept; by default `packedWeightsDir()`. */
  readonly folder?: string | undefined;
  /** Told why they can't be kept. */
  readonly noteOnce?: NoteOnce | undefined;
}

/** Of a cache line: kernels load whole ones. */
const ALIGNMENT = 64;
/** Weights are packed into this much memory at a time, or that of the largest one. */
const BATCH_BYTES = 32 * 1024 * 1024;
const LOCK_POLL_MS = 5;
/** Who holds a lock for so long does nothing any more. */
const LOCK_LIMIT_MS = 10 * 60 * 1000;
/** All packing processes lock a byte of this file each, which follows from what they pack. */
const LOCK_NAME = '.lock';
/** Digits of a hash that names a file, and of those the first that make the place of a byte. */
const HASH_DIGITS = 32;
const BYTE_DIGITS = 12;
/** As long as a checksum, which is not known before the data is written. */
const NO_CHECKSUM = '0'.repeat(16);

/** A weight that lies in a file: what is computed is no matter of a cache. */
type FileWeight = ProductWeight & { readonly content: { readonly kind: 'weight' | 'slice' } };

/** The file that the weights of a part belong in. */
interface Wanted {
  readonly weights: readonly (readonly [Storage, FileWeight])[];
  readonly folder: string;
  readonly path: string;
  /** To be locked by who writes it. */
  readonly byte: number;
  /** Of the state of the sources and of how they are packed. */
  readonly identity: string;
  readonly threads: number;
}

/**
 * The packed weights of a part, in one file for all processes that pack the same ones in the same way: the
 * first makes it, others wait for it. A file that is not whole or of another state of the checkpoint is made
 * anew. Undefined where there is nothing to keep or no place to keep it, which is noted then.
 */
export async function openPacked(
  weights: ReadonlyMap<Storage, WeightContent>,
  { threads, folder = packedWeightsDir(), noteOnce }: PackedOptions,
): Promise<PackedFile | undefined> {
  const kept = [...weights].filter((entry): entry is [Storage, FileWeight] => isOfFile(entry[1]));
  if (kept.length === 0) return undefined;
  const wanted = await describe(kept, folder, threads);
  try {
    return (await findPacked(wanted)) ?? (await makePacked(wanted));
  } catch (error) {
    if (!(error instanceof DistriError) || error.code !== 'output') throw error;
    noteOnce?.('packed weights', `packed weights are not kept, every rank packs its own: ${error.message}`);
    return undefined;
  }
}

/** Whether a file that is called so has packed weights. */
export function isPackedName(name: string): boolean {
  return /^[0-9a-f]{32}\.safetensors$/.test(name);
}

/** The file whose weights were packed. */
export function packedFrom({ metadata }: SafetensorsFile): string | undefined {
  return metadata.source;
}

function isOfFile(weight: WeightContent): weight is FileWeight {
  return isPacked(weight) && weight.content.kind !== 'constant';
}

async function describe(weights: Wanted['weights'], folder: string, threads: number): Promise<Wanted> {
  const forms = weights.map(([, weight]) => [formOf(weight), weight.value.dtype, sourceOf(weight)]);
  const layouts = [...new Set(weights.map(([, weight]) => formOf(weight).dtype))].map((dtype) => ({
    dtype,
    ...loadAddon().packingLayout(dtype),
  }));
  const place = hashOf([layouts.map(({ dtype, lanes }) => [dtype, lanes]), forms]);
  const states = await Promise.all(filesOf(weights).map(stateOf));
  return {
    weights,
    folder,
    path: join(folder, `${place}.safetensors`),
    byte: Number.parseInt(place.slice(0, BYTE_DIGITS), 16),
    identity: hashOf([layouts, states]),
    threads,
  };
}

function sourceOf({ content }: FileWeight): readonly unknown[] {
  if (content.kind === 'slice') return [content.slice.file, content.slice.pieces];
  const { file, offset, length } = content.entry;
  return [file, [{ offset, length }]];
}

function filesOf(weights: Wanted['weights']): string[] {
  return [
    ...new Set(
      weights.map(([, { content }]) => (content.kind === 'slice' ? content.slice : content.entry).file),
    ),
  ];
}

/** Differs after a change. */
async function stateOf(file: string): Promise<readonly string[]> {
  const { size, mtimeNs } = await stat(file, { bigint: true }).catch((error) => {
    throw fileError(error, file);
  });
  return [file, String(size), String(mtimeNs)];
}

function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, HASH_DIGITS);
}

async function findPacked(wanted: Wanted): Promise<PackedFile | undefined> {
  if (!(await isFile(wanted.path))) return undefined;
  const handle = await open(wanted.path).catch(() => undefined);
  const offsets = handle && (await wholeWeights(handle, wanted).catch(() => undefined));
  if (offsets) return { file: pathOf(handle), offsets, close: () => handle.close() };
  await handle?.close();
  return undefined;
}

/** Offsets of the weights; undefined, or an error, where the file has others or is damaged. */
async function wholeWeights(
  handle: FileHandle,
  { path, weights, identity, threads }: Wanted,
): Promise<ReadonlyMap<Storage, number> | undefined> {
  const { metadata, header, tensors } = await SafetensorsFile.open(path);
  if (metadata.packed_from !== identity) return undefined;
  if (!(await isWhole(handle, metadata.checksum, header.length, threads))) return undefined;
  const entries = weights.map(([storage, weight], index) => ({
    storage,
    weight,
    entry: tensors.get(String(index)),
  }));
  const offsets = entries.flatMap(({ storage, weight, entry }): [Storage, number][] =>
    entry?.length === loadAddon().packedBytes(formOf(weight)) ? [[storage, entry.offset]] : [],
  );
  return offsets.length === weights.length ? new Map(offsets) : undefined;
}

/** States of files that this process has read: parts with the same weights follow each other. */
const wholeStates = new Set<string>();

async function isWhole(
  handle: FileHandle,
  wanted: string | undefined,
  start: number,
  threads: number,
): Promise<boolean> {
  const { dev, ino, size, ctimeNs } = await handle.stat({ bigint: true });
  const state = [dev, ino, size, ctimeNs].join(' ');
  if (wholeStates.has(state)) return true;
  const checksum = await loadAddon().checksum(pathOf(handle), start, Number(size) - start, threads);
  if (checksum === wanted) wholeStates.add(state);
  return checksum === wanted;
}

/** Another way to open what is open: by its name it may be another file already. */
function pathOf({ fd }: FileHandle): string {
  return `/proc/self/fd/${fd}`;
}

async function makePacked(wanted: Wanted): Promise<PackedFile> {
  const { folder, path, byte } = wanted;
  await makeCacheFolder(folder);
  try {
    const lock = await lockByte(join(folder, LOCK_NAME), byte);
    try {
      const made = await findPacked(wanted);
      if (made) return made;
      await removeAbandoned(folder, basename(path));
      await writePacked(wanted);
    } finally {
      await lock.close();
    }
  } catch (error) {
    throw fileError(error, path, 'output');
  }
  const written = await findPacked(wanted);
  if (written) return written;
  throw new DistriError('output', `${path}: is not what was written`);
}

/**
 * Waits for the byte. Where a file system has no locks, or somebody keeps one, two processes may do the same
 * work: as the last to finish gives its file the name, that is all.
 */
async function lockByte(path: string, byte: number): Promise<FileHandle> {
  const handle = await open(path, 'a');
  const isTaken = () => {
    try {
      return !loadAddon().tryLock(handle.fd, byte);
    } catch {
      return false;
    }
  };
  const started = performance.now();
  while (performance.now() - started < LOCK_LIMIT_MS && isTaken()) await delay(LOCK_POLL_MS);
  return handle;
}

async function writePacked({ folder, path, weights, identity, threads }: Wanted): Promise<void> {
  const addon = loadAddon();
  const sizes = weights.map(([, weight]) => addon.packedBytes(formOf(weight)));
  const layout = sizes.map((size, index) => ({ name: String(index), dtype: 'U8', shape: [size] }) as const);
  const [source] = filesOf(weights) as [string];
  const dtype = [...new Set(weights.map(([, weight]) => formOf(weight).dtype))].join(' ');
  const headerWith = (checksum: string) =>
    encodeHeader(layout, { packed_from: identity, source, dtype, checksum }, ALIGNMENT);
  const header = headerWith(NO_CHECKSUM);
  await requireSpace(
    folder,
    header.length + sum(sizes),
    `packing weights of ${source}`,
    'make room or set DISTRI_CACHE to a folder on another disk',
  );
  const target = new Uint8Array(Math.max(BATCH_BYTES, ...sizes));
  await replaceFile(path, async (handle) => {
    await writeExactly(handle, header, 0);
    let position = header.length;
    for (const batch of batchesOf(sizes)) {
      const read = batch.map((index) => readUnpacked((weights[index] as Wanted['weights'][number])[1]));
      await addon.packWeights(await Promise.all(read), target, threads);
      const bytes = sum(batch.map((index) => sizes[index] as number));
      await writeExactly(handle, target.subarray(0, bytes), position);
      position += bytes;
    }
    const bytes = position - header.length;
    const checksum = await addon.checksum(pathOf(handle), header.length, bytes, threads);
    await writeExactly(handle, headerWith(checksum), 0);
  });
}

/** Places of sizes that together fill a batch, in order. */
function batchesOf(sizes: readonly number[]): readonly number[][] {
  const batches: number[][] = [];
  let room = 0;
  for (const [index, size] of sizes.entries()) {
    const last = batches.at(-1);
    if (last && size <= room) last.push(index);
    else {
      batches.push([index]);
      room = BATCH_BYTES;
    }
    room -= size;
  }
  return batches;
}
