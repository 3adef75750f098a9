import { closeSync, openSync, readSync } from 'node:fs';
import { fileError } from '../../base/file-io.js';
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

/** Reads a float32 slice, and nothing else of its file, into memory. */
export function readSlice({ shape, file, pieces }: TensorSlice): Tensor<'float32'> {
  const tensor = float32(shape);
  const bytes = new Uint8Array(tensor.data.buffer);
  let done = 0;
  try {
    const descriptor = openSync(file, 'r');
    try {
      for (const { offset, length } of pieces) {
        done += readFully(descriptor, bytes.subarray(done, done + length), offset);
      }
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw fileError(error, file);
  }
  return tensor;
}

function readFully(descriptor: number, target: Uint8Array, position: number): number {
  let done = 0;
  while (done < target.length) {
    const count = readSync(descriptor, target, done, target.length - done, position + done);
    if (count === 0) throw new Error(`ends at byte ${position + done}`);
    done += count;
  }
  return done;
}
