import type { TensorEntry } from '../checkpoint/formats/safetensors.js';
import type { TensorSlice } from '../checkpoint/formats/slices.js';
import type { DType, Shape, Tensor } from '../tensor/tensor.js';
import { attributeType, elementType, encodeModel, externalLocation } from './onnx-schema.js';
import { fuseResiduals } from './passes/fuse.js';

/** How often a value changes: never (weights), once per image (text, sizes), or at every denoising step. */
export type Phase = 'constant' | 'image' | 'step';

/** An edge of the graph. Static shape, in order. */
export interface Value {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly phase: Phase;
  /**
   * Which part of a larger whole this value is, in the terms of the strategy that built it. The graph only hands it on,
   * from the first operand that has one to the results.
   */
  readonly region: unknown;
}

/** An attribute. ONNX tells integers from floats: `int` and `float` below make one of the right kind. */
export type Attribute =
  | { readonly type: 'int'; readonly value: number }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'ints'; readonly value: readonly number[] };

export const int = (value: number): Attribute => ({ type: 'int', value });
export const float = (value: number): Attribute => ({ type: 'float', value });
export const text = (value: string): Attribute => ({ type: 'string', value });
export const ints = (value: readonly number[]): Attribute => ({ type: 'ints', value });

/** `distri` is native/ops; `com.microsoft` are ONNX Runtime's contributed operators. */
export type Domain = '' | 'com.microsoft' | 'distri';

export interface NodeSpec {
  readonly op: string;
  readonly domain?: Domain;
  /** Unique; by custom the path of the module that it computes, so that errors and profiles name layers. */
  readonly name: string;
  /** `undefined` is an optional input that is left out. */
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

/** How a graph is serialized for several sizes; see flexible.ts. */
export interface Flexibility {
  /** Dimensions of values by name, with a word where sizes differ. Values that are not named are as they are. */
  readonly dims: ReadonlyMap<string, readonly (number | string)[]>;
  /** What takes the place of constants. */
  readonly replaced: ReadonlyMap<string, Tensor>;
  /** Constants that the caller gives. */
  readonly given: ReadonlySet<string>;
}

const rigid: Flexibility = { dims: new Map(), replaced: new Map(), given: new Set() };

/** One serialized graph and what goes in and out of it. */
export interface CompiledGraph {
  readonly model: Uint8Array;
  /** Weights that have to be read into memory and given to the session: slices that are not in one piece in their file. */
  readonly slices: readonly TensorSlice[];
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
}

/**
 * What a model becomes: `step` runs at every step, `image` once before the first, and its outputs are inputs of `step`
 * under the same names. Without values of phase `image` there is no such graph.
 */
export interface CompiledProgram {
  readonly image: CompiledGraph | undefined;
  readonly step: CompiledGraph;
}

const opsets = [
  { domain: '', version: 20 },
  { domain: 'com.microsoft', version: 1 },
  { domain: 'distri', version: 1 },
];

/** A node as it is in the graph. */
export interface Operation {
  readonly spec: NodeSpec;
  readonly outputs: readonly Value[];
  /** When it is computed: once per image or at every step. */
  readonly phase: Phase;
}

/**
 * Builds ONNX graphs. Every value has a static shape and is described to ONNX Runtime, weights point into their
 * .safetensors files, and whatever does not depend on the step is moved into a graph of its own.
 */
export class Graph {
  readonly #values = new Map<string, Value>();
  readonly #inputs: Value[] = [];
  readonly #initializers = new Map<string, Record<string, unknown>>();
  readonly #slices = new Map<string, TensorSlice>();
  readonly #constants = new Map<string, Tensor>();
  readonly #nodes: Operation[] = [];
  readonly #outputs: Value[] = [];

  /** A value given by the caller of the session. */
  input(name: string, dtype: DType, shape: Shape, phase: 'image' | 'step'): Value {
    const value = this.#define({ name, dtype, shape, phase, region: undefined });
    this.#inputs.push(value);
    return value;
  }

  /** A weight, used where it lies in its file. */
  weight(entry: TensorEntry): Value {
    const known = this.#values.get(entry.name);
    if (known) return known;
    this.#initializers.set(entry.name, externalTensor(entry));
    return this.#define({
      name: entry.name,
      dtype: 'float32',
      shape: entry.shape,
      phase: 'constant',
      region: undefined,
    });
  }

  /** Part of a weight, where it lies in its file if it is in one piece. Its name is that of the weight, which is not used whole as well. */
  slice(slice: TensorSlice): Value {
    const [first] = slice.pieces;
    if (!first) throw new Error(`the slice of ${slice.name} is empty`);
    const known = this.#values.get(slice.name);
    if (known) return known;
    if (slice.pieces.length > 1) this.#slices.set(slice.name, slice);
    return this.weight({ ...slice, offset: first.offset, length: first.length });
  }

  /** A small tensor kept inside the model. */
  constant(name: string, tensor: Tensor): Value {
    this.#initializers.set(name, inlineTensor(name, tensor));
    this.#constants.set(name, tensor);
    return this.#define({
      name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      phase: 'constant',
      region: undefined,
    });
  }

  /** A node with one result, which gets the node's name. */
  node(spec: NodeSpec, shape: Shape, dtype: DType = 'float32'): Value {
    const [value] = this.nodes(spec, [{ name: spec.name, shape, dtype }]);
    return value as Value;
  }

  /** A node with several results. */
  nodes(spec: NodeSpec, results: readonly { name: string; shape: Shape; dtype?: DType }[]): Value[] {
    const operands = spec.inputs.filter((value) => value !== undefined);
    const phase = operands.some((value) => value.phase === 'step') ? 'step' : 'image';
    const region = operands.find((value) => value.region !== undefined)?.region;
    const outputs = results.map(({ name, shape, dtype = 'float32' }) =>
      this.#define({ name, dtype, shape, phase, region }),
    );
    this.#nodes.push({ spec, outputs, phase });
    return outputs;
  }

  /** The same value as another part of a whole. */
  withRegion(value: Value, region: unknown): Value {
    return { ...value, region };
  }

  /** Makes a value a result of the program. */
  output(value: Value): void {
    this.#outputs.push(value);
  }

  /** The value of this name, for tests that look inside a model. */
  value(name: string): Value | undefined {
    return this.#values.get(name);
  }

  /** All values in the order of their definition. */
  get values(): readonly Value[] {
    return [...this.#values.values()];
  }

  /** The tensors that are kept inside the model, by name. */
  get constants(): ReadonlyMap<string, Tensor> {
    return this.#constants;
  }

  /** The initializers' names and shapes in order of first use. */
  get weights(): readonly Value[] {
    return [...this.#initializers.keys()].map((name) => this.#values.get(name) as Value);
  }

  /** Those weights that are not in one piece in their file and so are read into memory. */
  get slices(): readonly TensorSlice[] {
    return [...this.#slices.values()];
  }

  /** All nodes in an order in which they can be computed. */
  get operations(): readonly Operation[] {
    return this.#nodes;
  }

  /** The values that the program returns. */
  get results(): readonly Value[] {
    return this.#outputs;
  }

  compile(flexibility: Flexibility = rigid): CompiledProgram {
    const stepNodes = fuseResiduals(
      this.#nodes.filter((node) => node.phase === 'step'),
      this.#outputs,
    );
    const imageNodes = this.#nodes.filter((node) => node.phase !== 'step');
    const consumed = new Set(stepNodes.flatMap((node) => operandNames(node)));
    const handedOver = imageNodes.flatMap((node) => node.outputs).filter((value) => consumed.has(value.name));
    const stepInputs = this.#inputs.filter((value) => consumed.has(value.name) || value.phase === 'step');
    const given = [...flexibility.given].map((name) => this.#values.get(name) as Value);
    const imageOutputs = [...handedOver, ...this.#outputs.filter((value) => value.phase !== 'step')];
    return {
      image:
        imageNodes.length > 0 ? this.#compileGraph('image', imageNodes, undefined, imageOutputs) : undefined,
      step: this.#compileGraph(
        'step',
        stepNodes,
        [...stepInputs, ...handedOver, ...given],
        this.#outputs.filter((value) => value.phase === 'step'),
        flexibility,
      ),
    };
  }

  #compileGraph(
    name: string,
    nodes: readonly Operation[],
    givenInputs: readonly Value[] | undefined,
    outputs: readonly Value[],
    { dims, replaced, given }: Flexibility = rigid,
  ): CompiledGraph {
    const operands = new Set(nodes.flatMap((node) => operandNames(node)));
    const inputs = givenInputs ?? this.#inputs.filter((value) => operands.has(value.name));
    const visible = new Set(outputs.map((value) => value.name));
    const initializers = [...this.#initializers]
      .filter(([key]) => operands.has(key) && !given.has(key))
      .map(([key, tensor]) => {
        const other = replaced.get(key);
        return other ? inlineTensor(key, other) : tensor;
      });
    const inner = nodes.flatMap((node) => node.outputs).filter((value) => !visible.has(value.name));
    const describe = (value: Value) => valueInfo(value, dims.get(value.name) ?? value.shape);
    const graph = {
      name,
      node: nodes.map(nodeProto),
      initializer: initializers,
      input: inputs.map(describe),
      output: outputs.map(describe),
      valueInfo: inner.map(describe),
    };
    const model = encodeModel({ irVersion: 9, producerName: 'distri', graph, opsetImport: opsets });
    const slices = this.slices.filter(({ name: weight }) => operands.has(weight));
    return { model, inputs, outputs, slices };
  }

  #define(value: Value): Value {
    if (this.#values.has(value.name)) throw new Error(`the graph has two values named ${value.name}`);
    this.#values.set(value.name, value);
    return value;
  }
}

function operandNames(node: Operation): string[] {
  return node.spec.inputs.flatMap((value) => (value ? [value.name] : []));
}

function nodeProto({ spec, outputs }: Operation): Record<string, unknown> {
  return {
    opType: spec.op,
    domain: spec.domain ?? '',
    name: spec.name,
    input: spec.inputs.map((value) => value?.name ?? ''),
    output: outputs.map((value) => value.name),
    attribute: Object.entries(spec.attributes ?? {}).map(([name, attribute]) =>
      attributeProto(name, attribute),
    ),
  };
}

export function attributeProto(name: string, { type, value }: Attribute): Record<string, unknown> {
  const proto = { name, type: attributeType[type] };
  switch (type) {
    case 'int':
      return { ...proto, i: value };
    case 'float':
      return { ...proto, f: value };
    case 'string':
      return { ...proto, s: Buffer.from(value) };
    case 'ints':
      return { ...proto, ints: value };
  }
}

function valueInfo({ name, dtype }: Value, dims: readonly (number | string)[]): Record<string, unknown> {
  const dim = dims.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: elementType[dtype], shape: { dim } } } };
}

export function inlineTensor(name: string, { dtype, shape, data }: Tensor): Record<string, unknown> {
  const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dims: shape, dataType: elementType[dtype], rawData };
}

/** ONNX Runtime resolves locations below the folder given to the session, which is `/`; it refuses absolute ones. */
function externalTensor({ name, shape, file, offset, length }: TensorEntry): Record<string, unknown> {
  return {
    name,
    dims: shape,
    dataType: elementType.float32,
    dataLocation: externalLocation,
    externalData: [
      { key: 'location', value: file.replace(/^\//, '') },
      { key: 'offset', value: String(offset) },
      { key: 'length', value: String(length) },
    ],
  };
}
