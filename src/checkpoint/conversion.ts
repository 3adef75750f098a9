import { createHash } from 'node:crypto';
import { type FileHandle, readdir, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { defaultCacheDir, makeCacheFolder } from '../base/cache-dir.js';
import { requireSpace } from '../base/disk-space.js';
import {
  fileError,
  isTemporaryName,
  readExactly,
  withFile,
  writeAtomically,
  writeExactly,
} from '../base/file-io.js';
import { sum } from '../base/numbers.js';
import { type Decode, decodeBfloat16, decodeDouble, decodeHalf } from './formats/half.js';
import {
  encodeHeader,
  itemSize,
  SafetensorsFile,
  type StoredType,
  type TensorEntry,
} from './formats/safetensors.js';

/** What becomes of weights that are of another type than wanted. */
export interface ConversionOptions {
  /** Types of floats that are kept as they are; by default float32 alone. All others become float32. */
  readonly types?: readonly StoredType[] | undefined;
  /** Where converted weights are kept; by default `defaultCacheDir()`. */
  readonly conversionDir?: string | undefined;
  /** Called while converting; the numbers are bytes of the source. */
  readonly onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined;
}

/** Where conversions lie, and what they keep. */
interface Place {
  readonly folder: string;
  readonly types: readonly StoredType[];
}

/** Raised when the bytes that a conversion writes change, so that older caches are not used. */
const CONVERTER = '1';

/** Elements converted at a time: 4 MiB of halves, 8 MiB of floats. */
const CHUNK_ELEMENTS = 2 * 1024 * 1024;

/**
 * A conversion writes all the time; a temporary file not written to for so long is of a process that was
 * killed.
 */
const ABANDONED_AFTER_MS = 60 * 60 * 1000;

const decoders: { readonly [type in StoredType]?: Decode } = {
  F16: decodeHalf,
  BF16: decodeBfloat16,
  F64: decodeDouble,
};

/**
 * The same weights with every tensor of floats that are not of `types` as F32. Files without such tensors are
 * returned as they are, the others are converted once into files of the cache. Tensors of other types are
 * kept.
 *
 * Several processes may do this at once: each writes its own temporary file, the last to finish gives it its
 * name.
 */
export async function convertFloats(
  files: readonly SafetensorsFile[],
  { conversionDir = defaultCacheDir(), onProgress, types = ['F32'] }: ConversionOptions = {},
): Promise<SafetensorsFile[]> {
  const place = { folder: conversionDir, types };
  const cached = await Promise.all(files.map((file) => findConverted(file, place)));
  const total = sum(files.filter((_, i) => cached[i] === undefined).map(dataBytes));
  let before = 0;
  const result: SafetensorsFile[] = [];
  for (const [i, file] of files.entries()) {
    const found = cached[i];
    result.push(found ?? (await convert(file, place, (done) => onProgress?.(before + done, total))));
    if (found === undefined) before += dataBytes(file);
  }
  return result;
}

/**
 * `source` itself where nothing is to convert, or its whole and current conversion; undefined where there is
 * none.
 */
async function findConverted(source: SafetensorsFile, place: Place): Promise<SafetensorsFile | undefined> {
  if (![...source.tensors.values()].some(({ dtype }) => needsConversion(dtype, place))) return source;
  const identity = await identify(source);
  try {
    const converted = await SafetensorsFile.open(targetPath(source, place));
    return converted.metadata.converted_from === identity ? converted : undefined;
  } catch {
    // Absent, cut short or something else altogether: whatever it is, it is written anew.
    return undefined;
  }
}

async function convert(
  source: SafetensorsFile,
  place: Place,
  onProgress: (bytesDone: number) => void,
): Promise<SafetensorsFile> {
  const { folder } = place;
  const target = targetPath(source, place);
  const entries = [...source.tensors.values()].sort((a, b) => a.offset - b.offset);
  const layout = entries.map((entry) => ({ ...entry, dtype: convertedType(entry.dtype, place) }));
  const identity = await identify(source);
  const headerWith = (nonFinite: readonly number[]) =>
    encodeHeader(layout, { ...source.metadata, converted_from: identity, [NON_FINITE]: listText(nonFinite) });
  const header = headerWith([]);
  try {
    await makeCacheFolder(folder);
    await removeAbandoned(folder, basename(target));
    await requireSpace(
      folder,
      header.length + sum(layout.map(byteLength)),
      `converting ${source.path} to float32`,
      'make room or set DISTRI_CACHE to a folder on another disk',
    );
    await writeAtomically(target, async (output) => {
      await writeExactly(output, header, 0);
      const write: Write = (bytes, position) =>
        writeExactly(output, bytes, header.length + position).catch((error) => {
          // Here, because `withFile` would put the blame on the source.
          throw fileError(error, target, 'output');
        });
      const nonFinite = await withFile(source.path, (input) =>
        convertData(input, entries, place, write, onProgress),
      );
      if (nonFinite.length > 0) await writeExactly(output, headerWith(nonFinite), 0);
    });
  } catch (error) {
    throw fileError(error, target, 'output');
  }
  return SafetensorsFile.open(target);
}

/** Writes at a position counted from the start of the data. */
type Write = (bytes: Uint8Array, position: number) => Promise<void>;

/**
 * Passes the data of `entries` on in their order, a chunk at a time, so that memory does not grow with the
 * file. Returns which of them have become floats that are infinite or NaN.
 */
async function convertData(
  input: FileHandle,
  entries: readonly TensorEntry[],
  place: Place,
  write: Write,
  onProgress: (bytesDone: number) => void,
): Promise<readonly number[]> {
  const floats = new Float32Array(CHUNK_ELEMENTS);
  const stored = new Uint8Array(CHUNK_ELEMENTS * 8);
  let position = 0;
  let done = 0;
  const nonFinite = new Set<number>();
  for (const [index, { dtype, offset, length }] of entries.entries()) {
    const chunk = CHUNK_ELEMENTS * itemSize(dtype);
    for (let read = 0; read < length; read += chunk) {
      const part = stored.subarray(0, Math.min(chunk, length - read));
      await readExactly(input, part, offset + read);
      const bytes = needsConversion(dtype, place) ? convertChunk(dtype, part, floats) : part;
      if (bytes !== part && !areFinite(bytes)) nonFinite.add(index);
      await write(bytes, position);
      position += bytes.length;
      done += part.length;
      onProgress(done);
    }
  }
  return [...nonFinite];
}

/** `part` as float32 in `floats`. */
function convertChunk(dtype: StoredType, part: Uint8Array, floats: Float32Array): Uint8Array {
  const decode = decoders[dtype] as Decode;
  const target = floats.subarray(0, part.length / itemSize(dtype));
  decode(part, target);
  return new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
}

/** Whether no float32 in `bytes`, which begin at a multiple of 4, is infinite or NaN. */
function areFinite(bytes: Uint8Array): boolean {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  // Numbers that are not finite have an exponent of ones, and one more carries into the sign. Without a
  // branch for each number this keeps up with the disk.
  let carries = 0;
  for (let i = 0; i < words.length; i++)
    carries |= (((words[i] as number) & EXPONENT) + LAST_OF_EXPONENT) | 0;
  return carries >= 0;
}

const EXPONENT = 0x7f800000;
const LAST_OF_EXPONENT = 0x00800000;

/**
 * The tensors of a conversion that hold infinities or NaN, as far as the first ones go; none in files that
 * are not converted, because nobody has read them.
 */
export function nonFiniteTensors({ metadata, tensors }: SafetensorsFile): string[] {
  if (metadata.converted_from === undefined) return [];
  const indices = (metadata[NON_FINITE] ?? '').trim().split(' ').filter(Boolean).map(Number);
  const names = [...tensors.values()].sort((a, b) => a.offset - b.offset).map(({ name }) => name);
  return indices.flatMap((index) => names[index] ?? []);
}

/** Key of a conversion's metadata: which tensors, in their order in the file, hold infinities or NaN. */
const NON_FINITE = 'non_finite';
const NON_FINITE_LENGTH = 200;

/**
 * As many of the numbers as there is room for, in a text of always the same length: it is written before they
 * are known.
 */
function listText(indices: readonly number[]): string {
  let text = '';
  for (const index of indices) {
    if (`${text}${index}`.length > NON_FINITE_LENGTH) break;
    text += `${index} `;
  }
  return text.padEnd(NON_FINITE_LENGTH + 1);
}

/** Of what `identify` says. */
const PATH_LINE = 1;

/** Names one state of one file: after a change its size, time or header differ, and so does this. */
async function identify(source: SafetensorsFile): Promise<string> {
  const { mtimeNs } = await stat(source.path, { bigint: true }).catch((error) => {
    throw fileError(error, source.path);
  });
  const header = createHash('sha256').update(source.header).digest('hex');
  return [`converter ${CONVERTER}`, source.path, source.size, mtimeNs, header].join('\n');
}

/** One place for each source, so that the conversion of a changed source replaces that of its older state. */
function targetPath(source: SafetensorsFile, { folder, types }: Place): string {
  // What is kept in other types is another conversion.
  const kept = types.filter((type) => type !== 'F32');
  const key = [source.path, ...kept].join('\n');
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 32);
  return join(folder, `${basename(source.path, '.safetensors')}-${hash}.safetensors`);
}

/** Whether a file of the cache that is called so is a conversion. */
export function isConversionName(name: string): boolean {
  return /-[0-9a-f]{32}\.safetensors$/.test(name);
}

/** The file that was converted to this one; undefined where it is no conversion. */
export function convertedFrom({ metadata }: SafetensorsFile): string | undefined {
  return metadata.converted_from?.split('\n')[PATH_LINE];
}

/**
 * Removes what killed processes left of the file called `name` in `folder`: temporary files, which may have
 * gigabytes.
 */
export async function removeAbandoned(folder: string, name: string): Promise<void> {
  for (const path of await findAbandoned(folder, name)) await rm(path, { force: true });
}

/** Temporary files of the one called `name`, or of any, that nobody writes any more. */
export async function findAbandoned(folder: string, name?: string): Promise<readonly string[]> {
  const abandoned: string[] = [];
  for (const candidate of await readdir(folder)) {
    if (!isTemporaryName(candidate, name)) continue;
    const path = join(folder, candidate);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > ABANDONED_AFTER_MS) abandoned.push(path);
  }
  return abandoned;
}

function needsConversion(dtype: StoredType, { types }: Place): boolean {
  return decoders[dtype] !== undefined && !types.includes(dtype);
}

function convertedType(dtype: StoredType, place: Place): StoredType {
  return needsConversion(dtype, place) ? 'F32' : dtype;
}

function byteLength({ dtype, shape }: Pick<TensorEntry, 'dtype' | 'shape'>): number {
  return shape.reduce((product, dim) => product * dim, itemSize(dtype));
}

function dataBytes(file: SafetensorsFile): number {
  return sum([...file.tensors.values()].map(({ length }) => length));
}
