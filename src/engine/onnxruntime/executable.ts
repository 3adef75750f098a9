import { DistriError, toError } from '../../base/errors.js';
import { readSlice } from '../../checkpoint/formats/slices.js';
import type { CompiledGraph, Value } from '../../graph/graph.js';
import { elementCount, type Tensor } from '../../tensor/tensor.js';
import type { Addon, Communicator, Session, SessionOptions, Step } from '../addon.js';

export interface ExecutableOptions {
  readonly threads: number;
  readonly weights: SessionOptions['weights'];
  readonly rank: number;
  readonly communicator: Communicator | undefined;
  /** See SessionOptions.memory. */
  readonly memory?: SessionOptions['memory'];
  /** See SessionOptions.profile. */
  readonly profile?: string | undefined;
}

/** A compiled graph in a native session, with buffers for its results. */
export class Executable {
  readonly #session: Session;
  readonly #results: Readonly<Record<string, Tensor>>;
  readonly #inputs: readonly Value[];

  private constructor(session: Session, graph: CompiledGraph) {
    this.#session = session;
    this.#inputs = graph.inputs;
    this.#results = emptyTensors(graph.outputs);
  }

  static async load(addon: Addon, graph: CompiledGraph, options: ExecutableOptions): Promise<Executable> {
    const { threads, weights, rank, communicator, memory, profile } = options;
    const initializers: Record<string, Tensor<'float32'>> = {};
    for (const slice of graph.slices) initializers[slice.name] = await readSlice(slice);
    const session = await addon.Session.create(graph.model, {
      threads,
      weights,
      rank,
      initializers,
      ...(communicator ? { communicator } : {}),
      ...(memory === undefined ? {} : { memory }),
      ...(profile === undefined ? {} : { profile }),
    });
    return new Executable(session, graph);
  }

  /** Zeros for all inputs of a graph of fixed sizes, by name. */
  zeroInputs(): Readonly<Record<string, Tensor>> {
    return emptyTensors(this.#inputs);
  }

  /**
   * Runs the graph. The tensors returned are the same at every call: what should outlive the next call must be copied. A graph without fixed sizes
   * writes to `results`.
   */
  async run(
    inputs: Readonly<Record<string, Tensor>>,
    step?: Step,
    results: Readonly<Record<string, Tensor>> = this.#results,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const given = Object.fromEntries(this.#inputs.map(({ name }) => [name, inputs[name] as Tensor]));
    await this.#session.run(given, results, step);
    return results;
  }

  release(): void {
    this.#session.release();
  }
}

/** The result of this name, which the graph is known to have in float32. */
export function floatResult(results: Readonly<Record<string, Tensor>>, name: string): Tensor<'float32'> {
  const tensor = results[name];
  if (tensor?.dtype !== 'float32')
    throw new DistriError('internal', toError(`no float32 result ${name}`).message);
  return tensor as Tensor<'float32'>;
}

/** Room for values, by name. */
export function emptyTensors(values: readonly Value[]): Readonly<Record<string, Tensor>> {
  return Object.fromEntries(values.map((value) => [value.name, emptyTensor(value)]));
}

function emptyTensor({ dtype, shape }: Value): Tensor {
  const count = elementCount(shape);
  if (dtype === 'int64') return { dtype, shape, data: new BigInt64Array(count) };
  if (dtype === 'uint8') return { dtype, shape, data: new Uint8Array(count) };
  return { dtype, shape, data: new Float32Array(count) };
}
