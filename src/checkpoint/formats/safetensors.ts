import { type FileHandle, realpath } from 'node:fs/promises';
import { DistriError } from '../../base/errors.js';
import { fileError, readExactly, withFile, writeAtomically, writeExactly } from '../../base/file-io.js';
import { decodeUtf8, isJsonObject, type JsonObject, parseJsonUniqueKeys } from '../../base/json.js';
import { abbreviate, quote } from '../../base/quote.js';
import { elementCount, float32, int64, type Shape, type Tensor, uint8 } from '../../tensor/tensor.js';
import { type Decode, decodeBfloat16, decodeDouble, decodeHalf } from './half.js';

/** Bytes of one element. The names are those of the format; types of less than a byte are not known here. */
const itemSizes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  F8_E4M3FNUZ: 1,
  F8_E5M2FNUZ: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
  C64: 8,
} as const;

/** Element types as the format names them. @useDeclaredType */
export type StoredType = keyof typeof itemSizes;

/** Where a tensor lies: `length` bytes at `offset` of `file`. */
export interface TensorEntry {
  /** As diffusers and transformers call it. */
  readonly name: string;
  /** Of the elements. */
  readonly dtype: StoredType;
  /** As the reader asked for it, where the file has dimensions of 1 on top. */
  readonly shape: Shape;
  /** The file itself, not a link to it: ONNX Runtime refuses links that lead out of its folder. */
  readonly file: string;
  /** In bytes, from the start of the file. */
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
}

const LENGTH_BYTES = 8;
/** The limit of the format's reference implementation (safetensors/src/tensor.rs). */
const MAX_HEADER_BYTES = 100_000_000;
/** A tensor takes about eight, and the largest models have some ten thousand tensors in a file. */
const MAX_HEADER_VALUES = 1_500_000;
const METADATA_KEY = '__metadata__';

/**
 * A .safetensors file whose header was read and checked: eight bytes with the header's length, a JSON object,
 * the data. What is refused is what the reference implementation refuses (safetensors/src/tensor.rs), and
 * repeated keys.
 */
export class SafetensorsFile {
  private constructor(
    /** The file itself, links resolved. */
    readonly path: string,
    readonly size: number,
    /** The bytes before the data. */
    readonly header: Uint8Array,
    readonly metadata: Readonly<Record<string, string>>,
    readonly tensors: ReadonlyMap<string, TensorEntry>,
  ) {}

  /**
   * Reads the header only. A file that breaks the format is a `checkpoint` error that names the tensor and
   * numbers.
   */
  static async open(path: string): Promise<SafetensorsFile> {
    const file = await realpath(path).catch((error) => {
      throw fileError(error, path);
    });
    return withFile(file, async (handle, size) => {
      const header = await readHeader(handle, file, size);
      const { metadata, tensors } = parseHeader(header, file, size);
      return new SafetensorsFile(file, size, header, metadata, tensors);
    });
  }

  /** The entry called `name`; its absence is a `checkpoint` error. */
  entry(name: string): TensorEntry {
    const entry = this.tensors.get(name);
    if (entry === undefined) {
      throw new DistriError('checkpoint', `${this.path}: has no tensor ${quote(name)}`);
    }
    return entry;
  }

  /** Reads one tensor: floats of 2, 4 or 8 bytes as float32, I8 to I64 as int64, U8 and BOOL as uint8. */
  async read(name: string): Promise<Tensor> {
    const entry = this.entry(name);
    const decode = decoders[entry.dtype];
    if (decode === undefined) {
      throw new DistriError(
        'checkpoint',
        `${this.path}: tensor ${quote(name)} has type ${entry.dtype}; readable are ${Object.keys(decoders).join(', ')}`,
      );
    }
    return decode(await readBytes(entry), entry.shape);
  }
}

/**
 * Writes `tensors` to `path` atomically (see `writeAtomically`) in the order of the reference implementation:
 * wide types first, then by name, so that every tensor is aligned; the header is padded with spaces to 8
 * bytes.
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const sorted = Object.entries(tensors).sort(compareForWriting);
  const layout = sorted.map(([name, { dtype, shape, data }]) => {
    if (data.length !== elementCount(shape)) {
      throw new RangeError(`${name}: ${data.length} elements for shape [${shape.join(', ')}]`);
    }
    return { name, dtype: storedTypes[dtype], shape };
  });
  const header = encodeHeader(layout, metadata);
  try {
    await writeAtomically(path, async (handle) => {
      await writeExactly(handle, header, 0);
      let position = header.length;
      for (const [, { data }] of sorted) {
        await writeExactly(handle, new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position);
        position += data.byteLength;
      }
    });
  } catch (error) {
    throw fileError(error, path, 'output');
  }
}

/** The bytes of one element of `dtype`. */
export function itemSize(dtype: StoredType): number {
  return itemSizes[dtype];
}

/**
 * The bytes before the data of a file that holds `layout` in that order, length field and padding included: a
 * multiple of `alignment`, which is one of 8.
 */
export function encodeHeader(
  layout: readonly Pick<TensorEntry, 'name' | 'dtype' | 'shape'>[],
  metadata?: Readonly<Record<string, string>>,
  alignment = LENGTH_BYTES,
): Uint8Array {
  let end = 0;
  const entries: [string, unknown][] = layout.map(({ name, dtype, shape }) => {
    if (name === METADATA_KEY) throw new RangeError(`a tensor cannot be called ${METADATA_KEY}`);
    const begin = end;
    end += elementCount(shape) * itemSizes[dtype];
    return [name, { dtype, shape, data_offsets: [begin, end] }];
  });
  if (metadata !== undefined) entries.unshift([METADATA_KEY, metadata]);
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil((LENGTH_BYTES + json.length) / alignment) * alignment - LENGTH_BYTES;
  const header = new Uint8Array(LENGTH_BYTES + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, LENGTH_BYTES);
  return header;
}

const storedTypes = { float32: 'F32', bfloat16: 'BF16', int64: 'I64', uint8: 'U8' } as const;

function compareForWriting([nameA, a]: [string, Tensor], [nameB, b]: [string, Tensor]): number {
  const bySize = b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT;
  if (bySize !== 0) return bySize;
  return nameA < nameB ? -1 : Number(nameA > nameB);
}

type Decoder = (bytes: Uint8Array, shape: Shape) => Tensor;

/** Stored numbers are little-endian, and so is every machine that ONNX Runtime is built for. */
const decoders: { readonly [type in StoredType]?: Decoder } = {
  F32: (bytes, shape) => float32(shape, new Float32Array(bytes.buffer)),
  F16: floatDecoder(decodeHalf),
  BF16: floatDecoder(decodeBfloat16),
  F64: floatDecoder(decodeDouble),
  I64: (bytes, shape) => int64(shape, new BigInt64Array(bytes.buffer)),
  I32: (bytes, shape) => int64(shape, BigInt64Array.from(new Int32Array(bytes.buffer), BigInt)),
  I16: (bytes, shape) => int64(shape, BigInt64Array.from(new Int16Array(bytes.buffer), BigInt)),
  I8: (bytes, shape) => int64(shape, BigInt64Array.from(new Int8Array(bytes.buffer), BigInt)),
  U8: (bytes, shape) => uint8(shape, bytes),
  BOOL: (bytes, shape) => uint8(shape, bytes),
};

/**
 * A tensor of elements that lie one after the other in `bytes`, which it may take over; undefined for types
 * that are not readable.
 */
export function decodeTensor(
  dtype: StoredType,
  bytes: Uint8Array<ArrayBuffer>,
  shape: Shape,
): Tensor | undefined {
  return decoders[dtype]?.(bytes, shape);
}

function floatDecoder(decode: Decode): Decoder {
  return (bytes, shape) => {
    const tensor = float32(shape);
    decode(bytes, tensor.data);
    return tensor;
  };
}

function readBytes(entry: TensorEntry): Promise<Uint8Array> {
  return withFile(entry.file, async (handle) => {
    const bytes = new Uint8Array(entry.length);
    await readExactly(handle, bytes, entry.offset);
    return bytes;
  });
}

async function readHeader(handle: FileHandle, file: string, size: number): Promise<Uint8Array> {
  if (size < LENGTH_BYTES)
    throw broken(file, `${size} bytes, shorter than the ${LENGTH_BYTES} of a length field`);
  const field = new Uint8Array(LENGTH_BYTES);
  await readExactly(handle, field, 0);
  if (Buffer.from(field).toString('latin1') === 'version ') {
    throw broken(
      file,
      'a Git LFS pointer or other text, not weights; "git lfs pull" fetches the file itself',
    );
  }
  const length = new DataView(field.buffer).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw broken(file, `header of ${length} bytes, but the format allows ${MAX_HEADER_BYTES}`);
  }
  const end = LENGTH_BYTES + Number(length);
  if (end > size) throw broken(file, `header ends at byte ${end}, but the file has ${size}`);
  const header = new Uint8Array(end);
  await readExactly(handle, header, 0);
  return header;
}

interface Header {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

function parseHeader(header: Uint8Array, file: string, size: number): Header {
  const source = `${file}: header`;
  if (header[LENGTH_BYTES] !== 0x7b) throw broken(file, 'the header does not start with "{"');
  const text = decodeUtf8(header.subarray(LENGTH_BYTES), source);
  const { [METADATA_KEY]: metadata = {}, ...entries } = parseJsonUniqueKeys(
    text,
    source,
    MAX_HEADER_VALUES,
  ) as JsonObject;
  const tensors = Object.entries(entries).map(([name, value]) =>
    parseEntry(name, value, file, header.length),
  );
  checkCoverage(tensors, file, header.length, size);
  return {
    metadata: parseMetadata(metadata, file),
    tensors: new Map(tensors.map((entry) => [entry.name, entry])),
  };
}

function parseMetadata(value: unknown, file: string): Readonly<Record<string, string>> {
  if (!isJsonObject(value)) throw broken(file, `${METADATA_KEY} is not an object`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw broken(file, `${METADATA_KEY} ${quote(key)} is not a string`);
  }
  return value as Record<string, string>;
}

function parseEntry(name: string, value: unknown, file: string, dataStart: number): TensorEntry {
  const fail = (problem: string) => broken(file, `tensor ${quote(name)} ${problem}`);
  if (!isJsonObject(value)) throw fail('is not described by an object');
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isStoredType(dtype)) throw fail(`has the unknown type ${quote(dtype)}`);
  if (!isCounts(shape)) throw fail(`has the shape ${quote(shape)}, not a list of whole numbers from 0`);
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw fail(`has the data_offsets ${quote(offsets)}, not two whole numbers from 0`);
  }
  const [begin, end] = offsets as [number, number];
  if (end < begin) throw fail(`ends at byte ${end} of the data, before its start at ${begin}`);
  const length = byteLength(shape, dtype);
  if (length !== end - begin) {
    throw fail(
      `of type ${dtype} and shape [${abbreviate(shape.join(', '))}] needs ${length ?? 'more than 2^53'} bytes, ` +
        `but its data_offsets span ${end - begin}`,
    );
  }
  return { name, dtype, shape, file, offset: dataStart + begin, length };
}

/** The bytes of a tensor; undefined beyond 2^53. */
function byteLength(shape: Shape, dtype: StoredType): number | undefined {
  let length: number = itemSizes[dtype];
  for (const dim of shape) {
    length *= dim;
    if (length > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return length;
}

/**
 * The format wants the data covered exactly: every tensor starts where the one before ends, the last ends the
 * file.
 */
function checkCoverage(entries: readonly TensorEntry[], file: string, dataStart: number, size: number): void {
  let end = dataStart;
  const sorted = entries.toSorted((a, b) => a.offset - b.offset || a.length - b.length);
  for (const { name, offset, length } of sorted) {
    if (offset !== end) {
      const what = offset < end ? 'overlaps the one before' : 'leaves a gap';
      throw broken(
        file,
        `tensor ${quote(name)} ${what}: it starts at byte ${offset - dataStart} of the data, not ${end - dataStart}`,
      );
    }
    end = offset + length;
  }
  if (end !== size) {
    const cause = end > size ? 'the file is cut short' : 'bytes follow the last tensor';
    throw broken(file, `${cause}: the tensors end at byte ${end}, the file at ${size}`);
  }
}

function isStoredType(value: unknown): value is StoredType {
  return typeof value === 'string' && Object.hasOwn(itemSizes, value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((dim) => Number.isSafeInteger(dim) && dim >= 0);
}

function broken(file: string, problem: string): DistriError {
  return new DistriError('checkpoint', `${file}: ${problem}`);
}
