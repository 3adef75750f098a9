import type { FileHandle } from 'node:fs/promises';
import { readExactly, withFile } from '../../base/file-io.js';
import { sum } from '../../base/numbers.js';
import { elementCount, float32, type Shape, type Tensor } from '../../tensor/tensor.js';
import { itemSize, type TensorEntry } from './safetensors.js';

/** Indices `start` (inclusive) to `end` (exclusive). */
export type Range = readonly [start: number, end: number];

/** Part of a stored tensor: the pieces of its file that make it up, in order. */
export interface TensorSlice {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: TensorEntry['dtype'];
  readonly file: string;
  readonly pieces: readonly { readonly offset: number; readonly length: number }[];
}

/**
 * The `ranges` of `entry` along `axis`, one after another. Ranges that touch are one piece where the layout
 * allows.
 */
export function sliceTensor(entry: TensorEntry, axis: number, ranges: readonly Range[]): TensorSlice {
  const { name, dtype, file, shape } = entry;
  const inner = elementCount(shape.slice(axis + 1)) * itemSize(dtype);
  const length = shape[axis] as number;
  const outer = elementCount(shape.slice(0, axis));
  const pieces: { offset: number; length: number }[] = [];
  for (let block = 0; block < outer; block++) {
    for (const [start, end] of ranges) {
      const offset = entry.offset + (block * length + start) * inner;
      const last = pieces.at(-1);
      if (last && last.offset + last.length === offset) last.length += (end - start) * inner;
      else pieces.push({ offset, length: (end - start) * inner });
    }
  }
  const total = sum(ranges.map(([start, end]) => end - start));
  return { name, dtype, file, shape: shape.with(axis, total), pieces };
}

/** Bytes between two pieces that are read along with them: another read would take longer. */
const MAX_GAP = 64 * 1024;
/** The most that is read along with what lies between. */
const MAX_WINDOW = 1024 * 1024;

/**
 * Reads a float32 slice into memory. Off the JavaScript thread, because a slow disk must not keep a rank from
 * saying that it is alive.
 */
export async function readSlice({ shape, file, pieces }: TensorSlice): Promise<Tensor<'float32'>> {
  const tensor = float32(shape);
  const bytes = new Uint8Array(tensor.data.buffer);
  const scratch = Buffer.allocUnsafeSlow(MAX_WINDOW);
  let done = 0;
  await withFile(file, async (handle) => {
    for (const window of windowsOf(pieces)) {
      const length = sum(window.map((piece) => piece.length));
      await readWindow(handle, window, bytes.subarray(done, done + length), scratch);
      done += length;
    }
  });
  return tensor;
}

type Piece = TensorSlice['pieces'][number];
/** Pieces that are read together: at least one, those behind each other in the file. */
type Window = readonly [Piece, ...Piece[]];

function windowsOf(pieces: readonly Piece[]): Window[] {
  const windows: [Piece, ...Piece[]][] = [];
  for (const piece of pieces) {
    const window = windows.at(-1);
    if (window !== undefined && fits(window, piece)) window.push(piece);
    else windows.push([piece]);
  }
  return windows;
}

function fits(window: Window, { offset, length }: Piece): boolean {
  const gap = offset - endOf(window);
  return gap >= 0 && gap <= MAX_GAP && offset + length - window[0].offset <= MAX_WINDOW;
}

function endOf(window: Window): number {
  const { offset, length } = window.at(-1) as Piece;
  return offset + length;
}

async function readWindow(
  handle: FileHandle,
  window: Window,
  target: Uint8Array,
  scratch: Uint8Array,
): Promise<void> {
  const start = window[0].offset;
  if (window.length === 1) return readExactly(handle, target, start);
  const read = scratch.subarray(0, endOf(window) - start);
  await readExactly(handle, read, start);
  let done = 0;
  for (const { offset, length } of window) {
    target.set(read.subarray(offset - start, offset - start + length), done);
    done += length;
  }
}
