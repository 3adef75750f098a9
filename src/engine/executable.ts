import type { Value } from '../graph/value.js';
import { type DType, elementCount, type Tensor } from '../tensor/tensor.js';
import type { Communicator, SessionOptions, Step } from './addon.js';

/** Says something that is the same for all ranks, so that users should hear it once. */
export type NoteOnce = (topic: string, line: string) => void;

/** Under what a part of a program is loaded. */
export interface ExecutableOptions {
  readonly threads: number;
  readonly weights: SessionOptions['weights'];
  readonly rank: number;
  readonly communicator: Communicator | undefined;
  /** Says what users should know: of a topic the first line, whichever rank and part it comes from. */
  readonly noteOnce?: NoteOnce | undefined;
  /** See SessionOptions.memory. */
  readonly memory?: SessionOptions['memory'];
  /** Where a profile is written when the part is released: what its files' names begin with. */
  readonly profile?: string | undefined;
}

/** A part of a program, loaded by an engine, with buffers for its results. */
export interface Executable {
  /** Zeros for all inputs of a part of fixed sizes, by name. */
  zeroInputs(): Readonly<Record<string, Tensor>>;
  /**
   * Runs the part. The tensors returned are the same at every call: what should outlive the next call must be
   * copied. A part without fixed sizes runs in those of `variant`.
   */
  run(
    inputs: Readonly<Record<string, Tensor>>,
    step?: Step,
    variant?: number,
  ): Promise<Readonly<Record<string, Tensor>>>;
  release(): void;
}

/** The result of this name. */
export function resultOf(results: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const tensor = results[name];
  if (!tensor) throw new Error(`there is no result ${name}`);
  return tensor;
}

/** A tensor that is known to be of float32. */
export function asFloats(tensor: Tensor): Tensor<'float32'> {
  if (tensor.dtype !== 'float32') throw new Error(`a tensor is of ${tensor.dtype}, not of float32`);
  return tensor as Tensor<'float32'>;
}

/** The result of this name, which the program is known to have in float32. */
export function floatResult(results: Readonly<Record<string, Tensor>>, name: string): Tensor<'float32'> {
  return asFloats(resultOf(results, name));
}

/** Room for values, by name. */
export function emptyTensors(values: readonly Value[]): Readonly<Record<string, Tensor>> {
  return Object.fromEntries(values.map((value) => [value.name, emptyTensor(value)]));
}

/** Zeros. */
export function emptyTensor({ name, dtype, shape }: Pick<Value, 'name' | 'dtype' | 'shape'>): Tensor {
  if (dtype === 'float16') throw new Error(`${name} is of a type that callers don't know`);
  return { dtype, shape, data: new arrays[dtype](elementCount(shape)) };
}

const arrays = {
  float32: Float32Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
} as const satisfies Readonly<Record<DType, unknown>>;
