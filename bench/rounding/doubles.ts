/** Graphs in double precision: what operators compute, without their rounding. */
import { readSlice } from '../../src/checkpoint/formats/slices.js';
import type { GraphPart } from '../../src/graph/graph.js';
import {
  floatAttribute,
  intAttribute,
  intsAttribute,
  type NodeSpec,
  type Operation,
  type Value,
} from '../../src/graph/value.js';
import { elementCount, type Shape, type Tensor } from '../../src/tensor/tensor.js';

/** A dense row-major array. */
export interface Doubles {
  readonly shape: Shape;
  readonly data: Float64Array;
}

/** The values of a part by name, from those of its inputs. */
export async function evaluate(
  part: GraphPart,
  inputs: Readonly<Record<string, Doubles>>,
): Promise<Readonly<Record<string, Doubles>>> {
  const values = new Map(Object.entries(inputs));
  for (const [name, { content }] of part.initializers) values.set(name, await constant(content));
  for (const operation of part.operations) {
    const operator = operators[operation.spec.op];
    if (!operator) throw new Error(`${operation.spec.op} is not known in double precision`);
    const operands = operation.spec.inputs.map((value) => value && (values.get(value.name) as Doubles));
    const results = operator(operands as Doubles[], operation);
    for (const [index, { name, shape }] of operation.outputs.entries()) {
      values.set(name, { shape, data: results[index] as Float64Array });
    }
  }
  return Object.fromEntries(values);
}

export function asDoubles({ shape, data }: Tensor): Doubles {
  return { shape, data: Float64Array.from(data as Iterable<number | bigint>, Number) };
}

type Initializer = GraphPart['initializers'] extends ReadonlyMap<string, infer T> ? T : never;

async function constant(content: Initializer['content']): Promise<Doubles> {
  switch (content.kind) {
    case 'constant':
      return asDoubles(content.tensor);
    case 'slice':
      return asDoubles(await readSlice(content.slice));
    case 'weight':
      return asDoubles(await readSlice({ ...content.entry, pieces: [content.entry] }));
  }
}

type Operator = (operands: readonly Doubles[], operation: Operation) => readonly Float64Array[];

const operators: Readonly<Record<string, Operator>> = {
  Add: ([a, b], operation) => [combined(a as Doubles, b as Doubles, shapeOf(operation), (x, y) => x + y)],
  Mul: ([a, b], operation) => [combined(a as Doubles, b as Doubles, shapeOf(operation), (x, y) => x * y)],
  Sin: ([x]) => [(x as Doubles).data.map(Math.sin)],
  Cos: ([x]) => [(x as Doubles).data.map(Math.cos)],
  Cast: ([x]) => [(x as Doubles).data],
  Reshape: ([x]) => [(x as Doubles).data],
  QuickGelu: ([x], { spec }) => {
    // As float32 has it, which is what engines are told.
    const alpha = Math.fround(floatAttribute(spec, 'alpha'));
    return [(x as Doubles).data.map((value) => value / (1 + Math.exp(-alpha * value)))];
  },
  Gelu: ([x], { spec }) => [
    (x as Doubles).data.map(spec.attributes?.approximate?.value === 'none' ? gelu : geluTanh),
  ],
  Conv: convolved,
  Linear: linear,
  Attention: ([q, k, v], { spec }) => [attended([q, k, v] as Triple, { heads: intAttribute(spec, 'heads') })],
  MultiHeadAttention: ([q, k, v], { spec }) => [
    attended([q, k, v] as Triple, { heads: intAttribute(spec, 'num_heads'), causal: true }),
  ],
  BiasedAttention: ([q, k, v, bias], { spec }) => {
    const scale = Math.fround(floatAttribute(spec, 'scale'));
    return [attended([q, k, v] as Triple, { heads: intAttribute(spec, 'heads'), scale, bias })];
  },
  GroupNorm: groupNormalized,
  LayerNormalization: ([x, scale, shift], { spec }) => [
    rowsNormalized(x as Doubles, { scale, shift, epsilon: epsilonOf(spec), centred: true }),
  ],
  SimplifiedLayerNormalization: ([x, scale], { spec }) => [
    rowsNormalized(x as Doubles, { scale, shift: undefined, epsilon: epsilonOf(spec), centred: false }),
  ],
  Resize: ([x], operation) => [doubled(x as Doubles, shapeOf(operation))],
  Concat: (parts, operation) => [joined(parts, shapeOf(operation), axisOf(operation))],
  Split: ([x], operation) => {
    const size = shapeOf(operation)[axisOf(operation)] as number;
    return operation.outputs.map((_, index) => taken(x as Doubles, axisOf(operation), index * size, size));
  },
  Slice: ([x, start, end, axis]) => {
    const [from, to, along] = [start, end, axis].map((value) => (value as Doubles).data[0] as number);
    return [taken(x as Doubles, along as number, from as number, (to as number) - (from as number))];
  },
  Transpose: ([x], operation) => [
    transposed(x as Doubles, intsAttribute(operation.spec, 'perm'), shapeOf(operation)),
  ],
};

type Triple = readonly [Doubles, Doubles, Doubles];

function shapeOf({ outputs }: Operation): Shape {
  return (outputs[0] as Value).shape;
}

function axisOf(operation: Operation): number {
  const axis = intAttribute(operation.spec, 'axis');
  return axis < 0 ? shapeOf(operation).length + axis : axis;
}

function epsilonOf(spec: NodeSpec): number {
  return Math.fround(floatAttribute(spec, 'epsilon'));
}

/** By the series of positive terms, of which there are enough for all that is not 1 in double precision. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let total = x;
  for (let n = 1; n < 150; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}

function gelu(x: number): number {
  return (x * (1 + erf(x / Math.SQRT2))) / 2;
}

function geluTanh(x: number): number {
  return (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2;
}

/** Elements apart of neighbours along each axis of `to`, of an array that is broadcast to it. */
function stridesIn(shape: Shape, to: Shape): readonly number[] {
  const missing = to.length - shape.length;
  return to.map((_, axis) => {
    const size = shape[axis - missing] ?? 1;
    return size === 1 ? 0 : elementCount(shape.slice(axis - missing + 1));
  });
}

/** For each element of an array of this shape its place where neighbours lie so far apart. */
function places(shape: Shape, strides: readonly number[]): Int32Array {
  const result = new Int32Array(elementCount(shape));
  let inner = result.length;
  for (const [axis, size] of shape.entries()) {
    inner /= size;
    const stride = strides[axis] as number;
    for (let i = 0; i < result.length; i++)
      result[i] = (result[i] as number) + (Math.floor(i / inner) % size) * stride;
  }
  return result;
}

function combined(
  a: Doubles,
  b: Doubles,
  shape: Shape,
  combine: (x: number, y: number) => number,
): Float64Array {
  const left = places(shape, stridesIn(a.shape, shape));
  const right = places(shape, stridesIn(b.shape, shape));
  return Float64Array.from(left, (at, i) =>
    combine(a.data[at] as number, b.data[right[i] as number] as number),
  );
}

function transposed(x: Doubles, order: readonly number[], shape: Shape): Float64Array {
  const strides = stridesIn(x.shape, x.shape);
  const from = places(
    shape,
    order.map((axis) => strides[axis] as number),
  );
  return Float64Array.from(from, (at) => x.data[at] as number);
}

function taken(x: Doubles, axis: number, start: number, count: number): Float64Array {
  const shape = x.shape.with(axis, count);
  const strides = stridesIn(x.shape, x.shape);
  // A dimension of one has no stride, and nothing to take but all of it.
  const first = start * (strides[axis] as number);
  return Float64Array.from(places(shape, strides), (at) => x.data[first + at] as number);
}

function joined(parts: readonly Doubles[], shape: Shape, axis: number): Float64Array {
  const outer = elementCount(shape.slice(0, axis));
  const result = new Float64Array(elementCount(shape));
  let done = 0;
  for (let i = 0; i < outer; i++) {
    for (const { data } of parts) {
      const size = data.length / outer;
      result.set(data.subarray(i * size, (i + 1) * size), done);
      done += size;
    }
  }
  return result;
}

function doubled(x: Doubles, shape: Shape): Float64Array {
  const [, , rows, columns] = shape as [number, number, number, number];
  const result = new Float64Array(elementCount(shape));
  for (let i = 0; i < result.length; i++) {
    const row = Math.floor(i / columns) % rows;
    const image = Math.floor(i / columns / rows);
    const from = (image * (rows / 2) + (row >> 1)) * (columns / 2) + ((i % columns) >> 1);
    result[i] = x.data[from] as number;
  }
  return result;
}

function dot(a: Float64Array, aStart: number, b: Float64Array, bStart: number, count: number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += (a[aStart + i] as number) * (b[bStart + i] as number);
  return total;
}

/** x `[batch, in, rows, columns]` as `[batch, rows', columns', in]` between borders of zeros. */
function framed({ shape, data }: Doubles, [top, left, bottom, right]: readonly number[]): Doubles {
  const [batch, channels, rows, columns] = shape as [number, number, number, number];
  const [height, width] = [
    rows + (top as number) + (bottom as number),
    columns + (left as number) + (right as number),
  ];
  const result = new Float64Array(batch * height * width * channels);
  for (let i = 0; i < data.length; i++) {
    const column = (i % columns) + (left as number);
    const row = (Math.floor(i / columns) % rows) + (top as number);
    const channel = Math.floor(i / columns / rows) % channels;
    const image = Math.floor(i / columns / rows / channels);
    result[((image * height + row) * width + column) * channels + channel] = data[i] as number;
  }
  return { shape: [batch, height, width, channels], data: result };
}

function convolved([x, weight, bias]: readonly Doubles[], operation: Operation): [Float64Array] {
  const [, inner, kernel] = (weight as Doubles).shape as [number, number, number];
  const stride = intsAttribute(operation.spec, 'strides')[0] as number;
  const image = framed(x as Doubles, intsAttribute(operation.spec, 'pads'));
  const [, height, width] = image.shape as [number, number, number];
  const [batch, features, rows, columns] = shapeOf(operation) as [number, number, number, number];
  const inOrder = transposed(weight as Doubles, [0, 2, 3, 1], [features, kernel, kernel, inner]);
  const result = new Float64Array(batch * features * rows * columns);
  for (let i = 0; i < result.length; i++) {
    const column = i % columns;
    const row = Math.floor(i / columns) % rows;
    const feature = Math.floor(i / columns / rows) % features;
    const first = Math.floor(i / columns / rows / features) * height;
    let total = bias ? (bias.data[feature] as number) : 0;
    for (let y = 0; y < kernel; y++) {
      const start = ((first + row * stride + y) * width + column * stride) * inner;
      total += dot(image.data, start, inOrder, (feature * kernel + y) * kernel * inner, kernel * inner);
    }
    result[i] = total;
  }
  return [result];
}

function linear([x, weight, ...added]: readonly Doubles[], { spec }: Operation): [Float64Array] {
  const [features, inner] = (weight as Doubles).shape as [number, number];
  const bias = intAttribute(spec, 'bias') === 1 ? (added[0] as Doubles).data : undefined;
  const { data } = x as Doubles;
  const rows = data.length / inner;
  const sums = new Float64Array(rows * features);
  for (let i = 0; i < sums.length; i++) {
    const feature = i % features;
    const start = Math.floor(i / features) * inner;
    sums[i] = (bias?.[feature] ?? 0) + dot(data, start, (weight as Doubles).data, feature * inner, inner);
  }
  if (intAttribute(spec, 'activation') === 0) return [sums];
  const half = features / 2;
  return [
    Float64Array.from({ length: rows * half }, (_, i) => {
      const at = Math.floor(i / half) * features + (i % half);
      return (sums[at] as number) * gelu(sums[at + half] as number);
    }),
  ];
}

function softmax(scores: Float64Array): Float64Array {
  const largest = scores.reduce((a, b) => Math.max(a, b));
  const weights = scores.map((score) => Math.exp(score - largest));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

interface AttentionOptions {
  readonly heads: number;
  readonly causal?: boolean;
  /** By default that of the heads' size. */
  readonly scale?: number;
  /** `[batch or 1, heads or 1, tokens or 1, others]`. */
  readonly bias?: Doubles | undefined;
}

/** q `[batch, tokens, inner]`, k and v `[batch, others, inner]`. */
function attended([q, k, v]: Triple, { heads, causal, scale, bias }: AttentionOptions): Float64Array {
  const [batch, tokens, inner] = q.shape as [number, number, number];
  const others = k.shape[1] as number;
  const size = inner / heads;
  const result = new Float64Array(q.data.length);
  for (let i = 0; i < batch * tokens * heads; i++) {
    const head = i % heads;
    const query = Math.floor(i / heads);
    const image = Math.floor(query / tokens);
    const seen = causal ? (query % tokens) + 1 : others;
    const at = (token: number) => (image * others + token) * inner + head * size;
    const added = biasesOf(bias, [image, head, query % tokens]);
    const scores = Float64Array.from({ length: seen }, (_, token) => {
      const product = dot(q.data, query * inner + head * size, k.data, at(token), size);
      return product * (scale ?? 1 / Math.sqrt(size)) + (added?.[token] ?? 0);
    });
    for (const [token, weight] of softmax(scores).entries()) {
      for (let d = 0; d < size; d++) {
        const to = query * inner + head * size + d;
        result[to] = (result[to] as number) + weight * (v.data[at(token) + d] as number);
      }
    }
  }
  return result;
}

/** Of an image, head and query the biases of all keys; dimensions of 1 are repeated. */
function biasesOf(bias: Doubles | undefined, place: readonly number[]): Float64Array | undefined {
  if (!bias) return undefined;
  const keys = bias.shape.at(-1) as number;
  const row = place.reduce((index, at, axis) => {
    const size = bias.shape[axis] as number;
    return index * size + (size === 1 ? 0 : at);
  }, 0);
  return bias.data.subarray(row * keys, (row + 1) * keys);
}

function moments(values: Float64Array): { mean: number; variance: number } {
  const mean = values.reduce((a, b) => a + b) / values.length;
  return { mean, variance: values.reduce((total, value) => total + (value - mean) ** 2, 0) / values.length };
}

function groupNormalized([x, scale, shift]: readonly Doubles[], { spec }: Operation): [Float64Array] {
  const { shape, data } = x as Doubles;
  const [batch, channels] = shape as [number, number];
  const groups = intAttribute(spec, 'groups');
  const pixels = data.length / batch / channels;
  const size = (channels / groups) * pixels;
  const silu = intAttribute(spec, 'activation') === 1;
  const result = new Float64Array(data.length);
  for (let first = 0; first < data.length; first += size) {
    const { mean, variance } = moments(data.subarray(first, first + size));
    const root = Math.sqrt(variance + epsilonOf(spec));
    for (let i = first; i < first + size; i++) {
      const channel = Math.floor(i / pixels) % channels;
      const value =
        (((data[i] as number) - mean) / root) * ((scale as Doubles).data[channel] as number) +
        ((shift as Doubles).data[channel] as number);
      result[i] = silu ? value / (1 + Math.exp(-value)) : value;
    }
  }
  return [result];
}

interface RowNorm {
  readonly scale: Doubles | undefined;
  readonly shift: Doubles | undefined;
  readonly epsilon: number;
  readonly centred: boolean;
}

function rowsNormalized({ shape, data }: Doubles, { scale, shift, epsilon, centred }: RowNorm): Float64Array {
  const size = shape.at(-1) as number;
  const result = new Float64Array(data.length);
  for (let first = 0; first < data.length; first += size) {
    const { mean, variance } = moments(data.subarray(first, first + size));
    const root = Math.sqrt((centred ? variance : variance + mean ** 2) + epsilon);
    for (let i = 0; i < size; i++) {
      const value = ((data[first + i] as number) - (centred ? mean : 0)) / root;
      result[first + i] = value * (scale?.data[i] ?? 1) + (shift?.data[i] ?? 0);
    }
  }
  return result;
}
