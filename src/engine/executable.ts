import type { Value } from '../graph/value.js';
import { elementCount, type Tensor } from '../tensor/tensor.js';
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
   * copied. A part without fixed sizes writes to `results`.
   */
  run(
    inputs: Readonly<Record<string, Tensor>>,
    step?: Step,
    results?: Readonly<Record<string, Tensor>>,
  ): Promise<Readonly<Record<string, Tensor>>>;
  release(): void;
}

/** The result of this name, which the program is known to have in float32. */
export function floatResult(results: Readonly<Record<string, Tensor>>, name: string): Tensor<'float32'> {
  const tensor = results[name];
  if (tensor?.dtype !== 'float32') throw new Error(`there is no float32 result ${name}`);
  return tensor as Tensor<'float32'>;
}

/** Room for values, by name. */
export function emptyTensors(values: readonly Value[]): Readonly<Record<string, Tensor>> {
  return Object.fromEntries(values.map((value) => [value.name, emptyTensor(value)]));
}

/** What a caller gives and takes is float32 where the device computes with shorter floats. */
function emptyTensor({ dtype, shape }: Value): Tensor {
  const count = elementCount(shape);
  if (dtype === 'int64') return { dtype, shape, data: new BigInt64Array(count) };
  if (dtype === 'uint8') return { dtype, shape, data: new Uint8Array(count) };
  return { dtype: 'float32', shape, data: new Float32Array(count) };
}
