import type { TensorEntry } from '../checkpoint/formats/safetensors.js';
import type { TensorSlice } from '../checkpoint/formats/slices.js';
import type { ElementType } from '../tensor/element-type.js';
import type { Shape, Tensor } from '../tensor/tensor.js';
import { findOperator } from './operators.js';
import { commonRegion, type Region } from './region.js';
import { type NodeSpec, type Operation, operandNames, storedElementTypes, type Value } from './value.js';

/**
 * What an initializer holds: a weight where it lies in its file, pieces of one, or a small tensor of the
 * program itself.
 */
export type Initializer =
  | { readonly kind: 'weight'; readonly entry: TensorEntry }
  | { readonly kind: 'slice'; readonly slice: TensorSlice }
  | { readonly kind: 'constant'; readonly tensor: Tensor };

/** A part in one of its sizes. */
export interface PartVariant {
  /** With sizes and constants of its own. */
  readonly part: GraphPart;
  /** Those of its constants that are inputs of the part with open sizes. */
  readonly given: Readonly<Record<string, Tensor>>;
}

/** One of the graphs of a program: what an engine loads. */
export interface GraphPart {
  readonly name: 'image' | 'step';
  /** In an order in which they can be computed. */
  readonly operations: readonly Operation[];
  /** In the types in which callers give them, whatever operations read. */
  readonly inputs: readonly Value[];
  /** In the types in which callers take them. */
  readonly outputs: readonly Value[];
  /** Those that the operations read, by name. */
  readonly initializers: ReadonlyMap<string, { readonly value: Value; readonly content: Initializer }>;
  /**
   * Dimensions of values by name, with a word where sizes differ between the variants of a part; see
   * passes/flexible.ts.
   */
  readonly openDims: ReadonlyMap<string, readonly (number | string)[]>;
  /** What runs can choose between; none where sizes are fixed. */
  readonly variants: readonly PartVariant[];
}

/**
 * What a model becomes: `step` runs at every step, `image` once before the first, and its outputs are inputs
 * of `step` under the same names. Without values of phase `image` there is no such graph.
 */
export interface Program {
  readonly image: GraphPart | undefined;
  readonly step: GraphPart;
}

/** What is loaded of graphs that differ with the step alone: the image's once, and the step's of each. */
export function loadedParts(graphs: readonly Graph[]): readonly GraphPart[] {
  const programs = graphs.map((graph) => graph.program());
  const image = programs[0]?.image;
  return [...(image ? [image] : []), ...programs.map(({ step }) => step)];
}

/**
 * Builds graphs. Every value has a static shape, weights point into their .safetensors files, and whatever
 * does not depend on the step is moved into a graph of its own.
 */
export class Graph {
  /** Of what nodes compute where nothing else is said. */
  readonly elementType: ElementType;
  readonly #values = new Map<string, Value>();
  readonly #inputs: Value[] = [];
  readonly #initializers = new Map<string, Initializer>();
  readonly #operations: Operation[] = [];
  readonly #outputs: Value[] = [];

  constructor(elementType: ElementType = 'float32') {
    this.elementType = elementType;
  }

  /** A value given by the caller of the session. */
  input(name: string, dtype: ElementType, shape: Shape, phase: 'image' | 'step'): Value {
    const value = this.#define(name, dtype, shape, phase, undefined);
    this.#inputs.push(value);
    return value;
  }

  /** A weight, used where it lies in its file. */
  weight(entry: TensorEntry): Value {
    return this.#initializer(entry.name, elementTypeOf(entry), entry.shape, { kind: 'weight', entry });
  }

  /**
   * Part of a weight, where it lies in its file if it is in one piece. Its name is that of the weight, which
   * is not used whole as well.
   */
  slice(slice: TensorSlice): Value {
    const [first] = slice.pieces;
    if (!first) throw new Error(`the slice of ${slice.name} is empty`);
    if (slice.pieces.length === 1) {
      return this.weight({ ...slice, offset: first.offset, length: first.length });
    }
    return this.#initializer(slice.name, elementTypeOf(slice), slice.shape, { kind: 'slice', slice });
  }

  /** A small tensor kept inside the program. */
  constant(name: string, tensor: Tensor): Value {
    this.#refuseSecond(name);
    return this.#initializer(name, tensor.dtype, tensor.shape, { kind: 'constant', tensor });
  }

  /** A node with one result, which gets the node's name. */
  node(spec: NodeSpec, shape: Shape, dtype?: ElementType): Value {
    const [value] = this.nodes(spec, [{ name: spec.name, shape, ...typed(dtype) }]);
    return value as Value;
  }

  /** A node with several results. They are the part of the image that its operands are. */
  nodes(
    spec: NodeSpec,
    results: readonly { name: string; shape: Shape; dtype?: ElementType; region?: Region | undefined }[],
  ): Value[] {
    const operands = spec.inputs.filter((value) => value !== undefined);
    const phase = operands.some((value) => value.phase === 'step') ? 'step' : 'image';
    const outputs = results.map((result) => {
      const { name, shape, dtype = this.elementType } = result;
      const region =
        'region' in result
          ? result.region
          : commonRegion(
              operands.map((operand) => operand.region),
              spec.name,
            );
      return this.#define(name, dtype, shape, phase, region);
    });
    this.#operations.push({ spec, outputs, phase });
    return outputs;
  }

  /** A node with one result, which is this part of an image, whatever its operands are. */
  nodeOfRegion(spec: NodeSpec, shape: Shape, region: Region | undefined, dtype?: ElementType): Value {
    const [value] = this.nodes(spec, [{ name: spec.name, shape, region, ...typed(dtype) }]);
    return value as Value;
  }

  /** The same value as another part of a whole. */
  withRegion(value: Value, region: Region | undefined): Value {
    return { ...value, region };
  }

  /** Makes a value a result of the program, by default in a type that all callers know. */
  output(value: Value, dtype: ElementType = typeOfCallers(value.dtype)): void {
    this.#outputs.push({ ...value, dtype });
  }

  /** The value of this name. */
  value(name: string): Value | undefined {
    return this.#values.get(name);
  }

  /** All values in the order of their definition. */
  get values(): readonly Value[] {
    return [...this.#values.values()];
  }

  /** The tensors that are kept inside the program, by name. */
  get constants(): ReadonlyMap<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const [name, content] of this.#initializers) {
      if (content.kind === 'constant') tensors.set(name, content.tensor);
    }
    return tensors;
  }

  /** Weights, slices and constants in order of first use. */
  get weights(): readonly Value[] {
    return [...this.#initializers.keys()].map((name) => this.#values.get(name) as Value);
  }

  /** Those weights that are not in one piece in their file and so are read into memory. */
  get slices(): readonly TensorSlice[] {
    return [...this.#initializers.values()].flatMap((content) =>
      content.kind === 'slice' ? [content.slice] : [],
    );
  }

  /** All nodes in an order in which they can be computed. */
  get operations(): readonly Operation[] {
    return this.#operations;
  }

  /** The values that the program returns. */
  get results(): readonly Value[] {
    return this.#outputs;
  }

  /** The graph as two, of which one runs once per image. */
  program(): Program {
    const needed = this.#neededOperations();
    const stepOperations = needed.filter(({ phase }) => phase === 'step');
    const imageOperations = needed.filter(({ phase }) => phase !== 'step');
    const consumed = new Set(stepOperations.flatMap(operandNames));
    const handedOver = imageOperations
      .flatMap(({ outputs }) => outputs)
      .filter(({ name }) => consumed.has(name))
      .map((value) => ({ ...value, dtype: typeOfCallers(value.dtype) }));
    const stepInputs = this.#inputs.filter(({ name, phase }) => consumed.has(name) || phase === 'step');
    const imageOutputs = [...handedOver, ...this.#outputs.filter(({ phase }) => phase !== 'step')];
    const read = new Set(imageOperations.flatMap(operandNames));
    const imageInputs = this.#inputs.filter(({ name }) => read.has(name));
    return {
      image:
        imageOperations.length > 0
          ? this.#part('image', imageOperations, imageInputs, imageOutputs)
          : undefined,
      step: this.#part(
        'step',
        stepOperations,
        [...stepInputs, ...handedOver],
        this.#outputs.filter(({ phase }) => phase === 'step'),
      ),
    };
  }

  /** Those that lead to a result, and those that exchange, in which others count on this rank. */
  #neededOperations(): Operation[] {
    const wanted = new Set(this.#outputs.map(({ name }) => name));
    const needed: Operation[] = [];
    for (const operation of this.#operations.toReversed()) {
      const exchanges = findOperator(operation.spec.op)?.slots !== undefined;
      if (!exchanges && !operation.outputs.some(({ name }) => wanted.has(name))) continue;
      needed.push(operation);
      for (const name of operandNames(operation)) wanted.add(name);
    }
    return needed.reverse();
  }

  #part(
    name: GraphPart['name'],
    operations: readonly Operation[],
    inputs: readonly Value[],
    outputs: readonly Value[],
  ): GraphPart {
    const operands = new Set(operations.flatMap(operandNames));
    const initializers = new Map(
      [...this.#initializers]
        .filter(([key]) => operands.has(key))
        .map(([key, content]) => [key, { value: this.#values.get(key) as Value, content }]),
    );
    return { name, operations, inputs, outputs, initializers, openDims: new Map(), variants: [] };
  }

  /** The value of an initializer; the first of a name stays. */
  #initializer(name: string, dtype: ElementType, shape: Shape, content: Initializer): Value {
    const known = this.#values.get(name);
    if (known) return known;
    this.#initializers.set(name, content);
    return this.#define(name, dtype, shape, 'constant', undefined);
  }

  #define(
    name: string,
    dtype: ElementType,
    shape: Shape,
    phase: Value['phase'],
    region: Region | undefined,
  ): Value {
    this.#refuseSecond(name);
    const value: Value = { name, dtype, shape, layout: 'row_major', phase, region };
    this.#values.set(name, value);
    return value;
  }

  #refuseSecond(name: string): void {
    if (this.#values.has(name)) throw new Error(`the graph has two values named ${name}`);
  }
}

/** Shorter floats are a device's own affair. */
function typeOfCallers(dtype: ElementType): ElementType {
  return dtype === 'bfloat16' || dtype === 'float16' ? 'float32' : dtype;
}

function typed(dtype: ElementType | undefined): { readonly dtype?: ElementType } {
  return dtype === undefined ? {} : { dtype };
}

function elementTypeOf({ name, dtype }: Pick<TensorEntry, 'name' | 'dtype'>): ElementType {
  const type = storedElementTypes[dtype];
  if (type === undefined) throw new Error(`no device computes with ${name}, which is of type ${dtype}`);
  return type;
}
