import type { FileHandle } from 'node:fs/promises';
import { DistriError, toError } from '../../../base/errors.js';
import { readExactly, withFile } from '../../../base/file-io.js';
import { abbreviate, quote } from '../../../base/quote.js';
import { elementCount, type Tensor } from '../../../tensor/tensor.js';
import { decodeTensor, itemSize } from '../safetensors.js';
import type { TorchContent } from './content.js';
import { legacyStart, readLegacy } from './legacy-file.js';
import { PickledObject } from './pickle.js';
import { StridedTensor } from './rebuild.js';
import { readZip } from './zip-file.js';

const zipStart = Buffer.from('PK\x03\x04', 'latin1');

/**
 * A file that `torch.save` or `torch.jit.save` wrote (.pth, .pt): tensors by their dotted path in
 * dictionaries, lists and modules, in the file's order. Nothing in the file is executed; files that need
 * classes other than those of tensors are refused.
 */
export class TorchFile {
  private constructor(
    readonly path: string,
    readonly tensors: ReadonlyMap<string, StridedTensor>,
    private readonly locations: ReadonlyMap<string, number>,
  ) {}

  /** Reads what describes the tensors. What is no such file, or a broken one, is a `checkpoint` error. */
  static open(path: string): Promise<TorchFile> {
    return withFile(path, (handle, size) =>
      refusing(path, async () => {
        const { value, locations, pickleBytes } = await readContent(handle, size);
        const tensors = new Map<string, StridedTensor>();
        new Collector(tensors, pickleBytes).collect(stateDict(value), []);
        for (const { storage } of tensors.values()) {
          if (!locations.has(storage.key)) throw new Error(`has no data of storage ${quote(storage.key)}`);
        }
        return new TorchFile(path, tensors, locations);
      }),
    );
  }

  /** Whether the file begins as one of these does. */
  static async recognizes(path: string): Promise<boolean> {
    return withFile(path, async (handle, size) => kindOf(await firstBytes(handle, size)) !== undefined);
  }

  /**
   * The tensor `name`, row-major: floats of 2, 4 or 8 bytes as float32, integers as int64, U8 and BOOL as
   * uint8.
   */
  read(name: string): Promise<Tensor> {
    const tensor = this.tensors.get(name);
    if (tensor === undefined)
      throw new DistriError('checkpoint', `${this.path}: has no tensor ${quote(name)}`);
    const { dtype, key } = tensor.storage;
    const size = itemSize(dtype);
    return withFile(this.path, (handle) =>
      refusing(this.path, async () => {
        const bytes = new Uint8Array(span(tensor) * size);
        await readExactly(handle, bytes, (this.locations.get(key) as number) + tensor.offset * size);
        const decoded = decodeTensor(dtype, inOrder(bytes, tensor, size), tensor.shape);
        if (decoded === undefined)
          throw new Error(`has tensor ${quote(name)} of type ${dtype}, which is not readable`);
        return decoded;
      }),
    );
  }
}

/** The weights of a training checkpoint, which has the state of the optimizer and more beside them. */
function stateDict(value: unknown): unknown {
  const inner = value instanceof Map ? value.get('state_dict') : undefined;
  return inner instanceof Map ? inner : value;
}

function kindOf(start: Buffer): typeof readZip | typeof readLegacy | undefined {
  if (start.subarray(0, zipStart.length).equals(zipStart)) return readZip;
  return start.equals(legacyStart) ? readLegacy : undefined;
}

async function readContent(handle: FileHandle, size: number): Promise<TorchContent> {
  const read = kindOf(await firstBytes(handle, size));
  if (read === undefined)
    throw new Error('is no file of torch.save: neither a zip archive nor its older format');
  return read(handle, size);
}

async function firstBytes(handle: FileHandle, size: number): Promise<Buffer> {
  const start = Buffer.alloc(Math.min(size, legacyStart.length));
  await readExactly(handle, start, 0);
  return start;
}

/** Errors of `work` as one line that names the file. */
async function refusing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DistriError) throw error;
    const [line = ''] = toError(error).message.split('\n');
    throw new DistriError('checkpoint', `${path}: ${abbreviate(line, 300)}`, { cause: error });
  }
}

const DEEPEST = 64;
const LONGEST_NAME = 1024;

/**
 * Walks through a value and keeps the tensors. A pickle can refer to one thing many times: the walk is
 * bounded by the pickle's length.
 */
class Collector {
  private visits = 0;

  constructor(
    private readonly tensors: Map<string, StridedTensor>,
    private readonly mostVisits: number,
  ) {}

  collect(value: unknown, path: readonly string[]): void {
    if (++this.visits > this.mostVisits || path.length > DEEPEST)
      throw new Error('refers to itself again and again');
    if (value instanceof StridedTensor) this.add(path.join('.'), value);
    else if (value instanceof PickledObject) this.collectEntries(value.attributes, path);
    else this.collectEntries(value, path);
  }

  private collectEntries(value: unknown, path: readonly string[]): void {
    if (!(value instanceof Map) && !Array.isArray(value)) return;
    for (const [key, entry] of value.entries()) {
      if (typeof key === 'string' || typeof key === 'number') this.collect(entry, [...path, String(key)]);
    }
  }

  private add(name: string, tensor: StridedTensor): void {
    if (name.length > LONGEST_NAME) throw new Error(`has a name of ${name.length} characters`);
    this.tensors.set(name, tensor);
  }
}

/** How many elements of its storage lie between a tensor's first and last. */
function span({ shape, strides }: StridedTensor): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((last, dim, axis) => last + (dim - 1) * (strides[axis] as number), 1);
}

/** The elements of `tensor`, which are `size` bytes each and somewhere in `bytes`, one after the other. */
function inOrder(
  bytes: Uint8Array,
  { shape, strides }: StridedTensor,
  size: number,
): Uint8Array<ArrayBuffer> {
  const count = elementCount(shape);
  if (isContiguous(shape, strides)) return bytes as Uint8Array<ArrayBuffer>;
  const ordered = new Uint8Array(count * size);
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let i = 0; i < count; i++) {
    for (let byte = 0; byte < size; byte++) ordered[i * size + byte] = bytes[from * size + byte] as number;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const stride = strides[axis] as number;
      from += stride;
      index[axis] = (index[axis] as number) + 1;
      if (index[axis] !== shape[axis]) break;
      from -= stride * (shape[axis] as number);
      index[axis] = 0;
    }
  }
  return ordered;
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis] as number;
  }
  return true;
}
