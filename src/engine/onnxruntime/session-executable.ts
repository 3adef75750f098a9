import { readSlice } from '../../checkpoint/formats/slices.js';
import type { GraphPart } from '../../graph/graph.js';
import { serializePart } from '../../graph/onnx/serialize.js';
import { fuseResiduals } from '../../graph/passes/fuse.js';
import type { Value } from '../../graph/value.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { Session, Step } from '../addon.js';
import { type Executable, type ExecutableOptions, emptyTensors } from '../executable.js';
import { loadAddon, loadOnnxRuntime } from '../load.js';

/** What a run in one of the part's sizes takes and gives besides its inputs. */
interface Variant {
  readonly given: Readonly<Record<string, Tensor>>;
  readonly results: Readonly<Record<string, Tensor>>;
}

/** A part of a program in a native session of ONNX Runtime. */
export class SessionExecutable implements Executable {
  readonly #session: Session;
  readonly #inputs: readonly Value[];
  readonly #variants: readonly Variant[];

  private constructor(session: Session, part: GraphPart) {
    this.#session = session;
    this.#inputs = part.inputs;
    const variants = part.variants.length > 0 ? part.variants : [{ part, given: {} }];
    this.#variants = variants.map(({ part: { outputs }, given }) => ({
      given,
      results: emptyTensors(outputs),
    }));
  }

  static async load(part: GraphPart, options: ExecutableOptions): Promise<SessionExecutable> {
    const { threads, weights, rank, communicator, memory, profile } = options;
    const initializers: Record<string, Tensor<'float32'>> = {};
    for (const [name, { content }] of part.initializers) {
      if (content.kind === 'slice') initializers[name] = await readSlice(content.slice);
    }
    loadOnnxRuntime();
    const session = await loadAddon().Session.create(modelOf(part), {
      threads,
      weights,
      rank,
      initializers,
      ...(communicator ? { communicator } : {}),
      ...(memory === undefined ? {} : { memory }),
      ...(profile === undefined ? {} : { profile }),
    });
    return new SessionExecutable(session, part);
  }

  zeroInputs(): Readonly<Record<string, Tensor>> {
    return emptyTensors(this.#inputs);
  }

  async run(
    inputs: Readonly<Record<string, Tensor>>,
    step?: Step,
    variant = 0,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const { given, results } = this.#variants[variant] as Variant;
    const all = { ...inputs, ...given };
    const read = Object.fromEntries(this.#inputs.map(({ name }) => [name, all[name] as Tensor]));
    await this.#session.run(read, results, step);
    return results;
  }

  release(): void {
    this.#session.release();
  }
}

/**
 * A part as ONNX Runtime's sessions take it: a serialized ModelProto, with sums as part of the products
 * before them.
 */
export function modelOf(part: GraphPart): Uint8Array {
  const { name, operations, outputs } = part;
  return serializePart(part, name === 'step' ? fuseResiduals(operations, outputs) : operations);
}
