import type { GraphPart } from '../../graph/graph.js';
import type { OperatorName } from '../../graph/operators.js';
import { type Operation, operandNames, type Value } from '../../graph/value.js';

/** A norm with all that follows it, which one command computes. */
export interface ModulatedNorm {
  readonly norm: Operation;
  /** The last of them, whose result it is. */
  readonly sum: Operation;
  /** What the norm is multiplied by, less 1, and what is added then: `[batch or 1, 1, features]`. */
  readonly scale: Value;
  readonly shift: Value;
  /** All others. */
  readonly before: readonly Operation[];
}

interface ModulatedNorms {
  /** Operations that are parts of others. */
  readonly parts: ReadonlySet<Operation>;
  /** By the operation whose result they are. */
  readonly norms: ReadonlyMap<Operation, ModulatedNorm>;
}

/** Norms that are modulated as transformers do, where nobody else reads what is in between. */
export function findModulatedNorms(part: GraphPart): ModulatedNorms {
  const graph = new Readers(part);
  const found = part.operations.flatMap((norm) => modulated(graph, norm) ?? []);
  return {
    parts: new Set(found.flatMap(({ before }) => before)),
    norms: new Map(found.map((norm) => [norm.sum, norm])),
  };
}

/** norm * (1 + scale) + shift. */
function modulated(graph: Readers, norm: Operation): ModulatedNorm | undefined {
  if (!is(norm, 'LayerNormalization')) return undefined;
  const product = graph.onlyReader(norm, 'Mul');
  const factor = product && graph.otherOperand(product, norm);
  const sum = product && graph.onlyReader(product, 'Add');
  const shift = sum && graph.otherOperand(sum, product);
  const increment = factor && graph.source(factor);
  const scale = increment && graph.onlyReader(increment, 'Mul') && graph.incremented(increment);
  if (!sum || !scale || !shift) return undefined;
  const [{ shape }] = norm.outputs as [Value];
  if (![scale, shift].every((value) => isPerImage(value, shape))) return undefined;
  return { norm, sum, scale, shift, before: [norm, increment, product] };
}

function isPerImage({ shape }: Value, tokens: readonly number[]): boolean {
  const [batch, , features] = tokens;
  const [images, rows, width] = shape;
  const once = images === 1 || images === batch;
  return shape.length === 3 && tokens.length === 3 && once && rows === 1 && width === features;
}

/** Who computes and who reads the values of a part. */
class Readers {
  readonly #part: GraphPart;
  readonly #sources = new Map<string, Operation>();
  /** Undefined for a value that callers read. */
  readonly #readers = new Map<string, (Operation | undefined)[]>();

  constructor(part: GraphPart) {
    this.#part = part;
    for (const operation of part.operations) {
      for (const { name } of operation.outputs) this.#sources.set(name, operation);
      for (const name of operandNames(operation)) this.#add(name, operation);
    }
    for (const { name } of part.outputs) this.#add(name, undefined);
  }

  source({ name }: Value): Operation | undefined {
    return this.#sources.get(name);
  }

  /** The one operation that reads the result, if there is no other and it is of this kind. */
  onlyReader({ outputs: [result] }: Operation, kind: OperatorName): Operation | undefined {
    const readers = this.#readers.get(result?.name ?? '') ?? [];
    return readers.length === 1 && readers[0] && is(readers[0], kind) ? readers[0] : undefined;
  }

  otherOperand({ spec }: Operation, { outputs: [result] }: Operation): Value | undefined {
    return spec.inputs.find((value) => value && value.name !== result?.name);
  }

  /** What this operation adds 1 to. */
  incremented({ spec }: Operation): Value | undefined {
    if (spec.op !== ('Add' satisfies OperatorName)) return undefined;
    const one = spec.inputs.find((value) => value && this.#isOne(value));
    return one && spec.inputs.find((value) => value && value.name !== one.name);
  }

  #isOne({ name }: Value): boolean {
    const content = this.#part.initializers.get(name)?.content;
    return (
      content?.kind === 'constant' && content.tensor.data.length === 1 && Number(content.tensor.data[0]) === 1
    );
  }

  #add(name: string, reader: Operation | undefined): void {
    this.#readers.set(name, [...(this.#readers.get(name) ?? []), reader]);
  }
}

function is({ spec }: Operation, kind: OperatorName): boolean {
  return spec.op === kind;
}
