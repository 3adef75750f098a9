import { sum } from '../../base/numbers.js';
import { float32, int64, type Shape } from '../../tensor/tensor.js';
import type { Graph } from '../graph.js';
import { float, int, ints, text, type Value } from '../value.js';
import { ExchangeKernels } from './exchanges.js';
import { activationCode, type NormSpec } from './norm.js';

/** Rows and columns of zeros added before a convolution: `[top, left, bottom, right]`. */
export type Padding = readonly [number, number, number, number];

export type Activation = 'none' | 'silu' | 'gelu' | 'gelu_tanh' | 'quick_gelu';

/** What Linear in native/ops calls them. */
const linearActivations = { none: 0, geglu: 1 } as const;

export interface AttentionShape {
  readonly heads: number;
  readonly causal: boolean;
}

/** What differs between devices in the way they compute. */
export type KernelTraits = Partial<Pick<Kernels, 'statisticBytes' | 'framesImages'>>;

/**
 * The one place where each kind of computation becomes nodes, but for what ranks exchange (exchanges.ts).
 * Strategies and models call these; `name` names the node and its result.
 */
export class Kernels {
  readonly graph: Graph;
  /** What ranks exchange. */
  readonly exchange: ExchangeKernels;
  /** Bytes of what a rank tells others of the rows of a group: sums and their number. */
  readonly statisticBytes: number;
  /** Whether a convolution reads zeros, or rows of others, around an image where they lie. */
  readonly framesImages: boolean;

  constructor(graph: Graph, { statisticBytes = 3 * 8, framesImages = false }: KernelTraits = {}) {
    this.graph = graph;
    this.exchange = new ExchangeKernels(graph);
    this.statisticBytes = statisticBytes;
    this.framesImages = framesImages;
  }

  /** x `[batch, in, rows, columns]`, weight `[out, in, k, k]` -> `[batch, out, rows', columns']`. */
  conv2d(
    name: string,
    x: Value,
    weight: Value,
    bias: Value | undefined,
    options: { stride: number; padding: Padding },
  ): Value {
    const [batch, , rows, columns] = x.shape as [number, number, number, number];
    const [out, , kernel] = weight.shape as [number, number, number];
    const { stride, padding } = options;
    const size = (length: number, pads: number) => Math.floor((length + pads - kernel) / stride) + 1;
    return this.graph.node(
      {
        op: 'Conv',
        name,
        inputs: bias ? [x, weight, bias] : [x, weight],
        attributes: {
          kernel_shape: ints([kernel, kernel]),
          strides: ints([stride, stride]),
          pads: ints(padding),
        },
      },
      [batch, out, size(rows, padding[0] + padding[2]), size(columns, padding[1] + padding[3])],
    );
  }

  /**
   * x `[..., in]`, weight `[out, in]` as torch keeps it (never transposed: that would copy it) -> `[...,
   * out]`.
   */
  linear(name: string, x: Value, weight: Value, bias: Value | undefined): Value {
    return this.#linear(name, x, weight, bias, 'none');
  }

  /**
   * linear to `[..., 2 * inner]`, then its first half times the exact GELU of the second -> `[..., inner]`.
   */
  linearGeglu(name: string, x: Value, weight: Value, bias: Value | undefined): Value {
    return this.#linear(name, x, weight, bias, 'geglu');
  }

  #linear(
    name: string,
    x: Value,
    weight: Value,
    bias: Value | undefined,
    activation: keyof typeof linearActivations,
  ): Value {
    const [features] = weight.shape as [number, number];
    return this.graph.node(
      {
        op: 'Linear',
        domain: 'distri',
        name,
        inputs: bias ? [x, weight, bias] : [x, weight],
        attributes: {
          bias: int(bias ? 1 : 0),
          residual: int(0),
          activation: int(linearActivations[activation]),
        },
      },
      [...x.shape.slice(0, -1), activation === 'geglu' ? features / 2 : features],
    );
  }

  /**
   * query `[batch, tokens, inner]`, key and value `[batch, others, inner]` -> `[batch, tokens, inner]`; scale
   * 1 / sqrt(inner / heads).
   */
  attention(name: string, query: Value, key: Value, value: Value, { heads, causal }: AttentionShape): Value {
    if (!causal) {
      const attributes = { heads: int(heads) };
      return this.graph.node(
        { op: 'Attention', domain: 'distri', name, inputs: [query, key, value], attributes },
        query.shape,
      );
    }
    return this.graph.node(
      {
        op: 'MultiHeadAttention',
        domain: 'com.microsoft',
        name,
        inputs: [query, key, value],
        attributes: { num_heads: int(heads), unidirectional: int(1) },
      },
      query.shape,
    );
  }

  /**
   * The same with `bias` `[batch or 1, heads or 1, tokens or 1, others]` added to the scores, which are
   * multiplied by `scale` (by default 1 / sqrt(inner / heads)) before.
   */
  biasedAttention(
    name: string,
    query: Value,
    key: Value,
    value: Value,
    bias: Value,
    { heads, scale = 1 / Math.sqrt(lastDim(query) / heads) }: { heads: number; scale?: number },
  ): Value {
    return this.graph.node(
      {
        op: 'BiasedAttention',
        domain: 'distri',
        name,
        inputs: [query, key, value, bias],
        attributes: { heads: int(heads), scale: float(scale) },
      },
      query.shape,
    );
  }

  /** x `[batch, channels, rows, columns]`; statistics over each group of channels, biased variance. */
  groupNorm(name: string, x: Value, weight: Value, bias: Value, spec: NormSpec): Value {
    return this.groupNormWithSums(name, x, weight, bias, spec, 'exact');
  }

  /** `channels_last`: sums with the rounding of torch's GroupNorm for tensors whose channels come last. */
  protected groupNormWithSums(
    name: string,
    x: Value,
    weight: Value,
    bias: Value,
    spec: NormSpec,
    sums: 'exact' | 'channels_last',
  ): Value {
    return this.graph.node(
      {
        op: 'GroupNorm',
        domain: 'distri',
        name,
        inputs: [x, weight, bias],
        attributes: {
          groups: int(spec.groups),
          epsilon: float(spec.epsilon),
          activation: int(activationCode(spec.activation)),
          float_sums: int(sums === 'channels_last' ? 1 : 0),
        },
      },
      x.shape,
    );
  }

  /** x `[..., channels]`, normalised over the last dimension. */
  layerNorm(name: string, x: Value, weight: Value, bias: Value, epsilon: number): Value {
    return this.graph.node(
      {
        op: 'LayerNormalization',
        name,
        inputs: [x, weight, bias],
        attributes: { axis: int(-1), epsilon: float(epsilon) },
      },
      x.shape,
    );
  }

  /** x `[..., features]`, normalised over the last dimension, without weights. */
  normalize(name: string, x: Value, epsilon: number): Value {
    const features = lastDim(x);
    const ones = this.graph.constant(`${name}/ones`, float32([features], new Float32Array(features).fill(1)));
    return this.graph.node(
      {
        op: 'LayerNormalization',
        name,
        inputs: [x, ones],
        attributes: { axis: int(-1), epsilon: float(epsilon) },
      },
      x.shape,
    );
  }

  /** x `[..., features]` divided by the root of its mean square over the last dimension, times weight. */
  rmsNorm(name: string, x: Value, weight: Value, epsilon: number): Value {
    return this.graph.node(
      {
        op: 'SimplifiedLayerNormalization',
        name,
        inputs: [x, weight],
        attributes: { axis: int(-1), epsilon: float(epsilon) },
      },
      x.shape,
    );
  }

  /**
   * x `[batch, tokens, features]` with pairs of neighbouring features rotated: by the angles of a token's
   * place, whose cosines and sines are `[tokens, pairs of a head]`, in each head.
   */
  rotary(name: string, x: Value, cosines: Value, sines: Value): Value {
    const first = this.graph.constant(`${name}/first`, int64([1], BigInt64Array.of(0n)));
    return this.graph.node(
      {
        op: 'RotaryEmbedding',
        domain: 'com.microsoft',
        name,
        inputs: [x, first, cosines, sines],
        attributes: { interleaved: int(1) },
      },
      x.shape,
    );
  }

  /** The same numbers in float32, which they are computed in where nothing else reads them. */
  asFloat32(x: Value): Value {
    if (x.dtype === 'float32') return x;
    return this.graph.node({ op: 'Cast', name: `${x.name}/float32`, inputs: [x] }, x.shape, 'float32');
  }

  /** Equal parts along an axis, one for each name. */
  split(names: readonly string[], x: Value, axis: number): Value[] {
    const shape = x.shape.with(axis, (x.shape[axis] as number) / names.length);
    return this.graph.nodes(
      {
        op: 'Split',
        name: names[0] as string,
        inputs: [x],
        attributes: { axis: int(axis), num_outputs: int(names.length) },
      },
      names.map((name) => ({ name, shape })),
    );
  }

  addNumber(name: string, x: Value, number: number): Value {
    return this.add(name, x, this.#number(name, number));
  }

  multiplyNumber(name: string, x: Value, number: number): Value {
    return this.multiply(name, x, this.#number(name, number));
  }

  #number(name: string, number: number): Value {
    return this.graph.constant(`${name}/number`, float32([], Float32Array.of(number)));
  }

  activation(name: string, x: Value, kind: Activation): Value {
    switch (kind) {
      case 'none':
        return x;
      case 'silu':
        return this.#quickGelu(name, x, 1);
      case 'quick_gelu':
        return this.#quickGelu(name, x, 1.702);
      case 'gelu':
      case 'gelu_tanh': {
        const approximate = text(kind === 'gelu' ? 'none' : 'tanh');
        return this.graph.node({ op: 'Gelu', name, inputs: [x], attributes: { approximate } }, x.shape);
      }
    }
  }

  /** Elementwise sum; `b` may be broadcast onto `a`. */
  add(name: string, a: Value, b: Value): Value {
    return this.graph.node({ op: 'Add', name, inputs: [a, b] }, a.shape);
  }

  /** Elementwise sum; dimensions of 1 are broadcast, in either operand. */
  sum(name: string, a: Value, b: Value): Value {
    return this.graph.node({ op: 'Add', name, inputs: [a, b] }, broadcastShape(a.shape, b.shape));
  }

  /** Elementwise product; the smaller operand is broadcast. */
  multiply(name: string, a: Value, b: Value): Value {
    return this.graph.node({ op: 'Mul', name, inputs: [a, b] }, broadcastShape(a.shape, b.shape));
  }

  concat(name: string, values: readonly Value[], axis: number): Value {
    const first = values[0] as Value;
    const at = axis < 0 ? first.shape.length + axis : axis;
    const total = sum(values.map((value) => value.shape[at] as number));
    return this.graph.node(
      { op: 'Concat', name, inputs: values, attributes: { axis: int(axis) } },
      first.shape.with(at, total),
    );
  }

  reshape(name: string, x: Value, shape: Shape): Value {
    const target = this.graph.constant(
      `${name}/shape`,
      int64(
        [shape.length],
        BigInt64Array.from(shape, (dim) => BigInt(dim)),
      ),
    );
    return this.graph.node({ op: 'Reshape', name, inputs: [x, target] }, shape, x.dtype);
  }

  transpose(name: string, x: Value, order: readonly number[]): Value {
    return this.graph.node(
      { op: 'Transpose', name, inputs: [x], attributes: { perm: ints(order) } },
      order.map((axis) => x.shape[axis] as number),
    );
  }

  /** Elements `start` (inclusive) to `end` (exclusive) along one axis. */
  slice(name: string, x: Value, axis: number, start: number, end: number): Value {
    const bound = (part: string, value: number) =>
      this.graph.constant(`${name}/${part}`, int64([1], BigInt64Array.of(BigInt(value))));
    return this.graph.node(
      { op: 'Slice', name, inputs: [x, bound('start', start), bound('end', end), bound('axis', axis)] },
      x.shape.with(axis, end - start),
      x.dtype,
    );
  }

  /** Rows of a table: table `[entries, width]`, ids int64 `[...]` -> `[..., width]`. */
  embedding(name: string, table: Value, ids: Value): Value {
    return this.graph.node({ op: 'Gather', name, inputs: [table, ids] }, [...ids.shape, lastDim(table)]);
  }

  /** x `[batch, tokens, width]`, positions int64 `[batch, 2]` of (batch, token) -> `[batch, width]`. */
  pickTokens(name: string, x: Value, positions: Value): Value {
    return this.graph.node({ op: 'GatherND', name, inputs: [x, positions] }, [
      positions.shape[0] as number,
      lastDim(x),
    ]);
  }

  sine(name: string, x: Value): Value {
    return this.graph.node({ op: 'Sin', name, inputs: [x] }, x.shape);
  }

  cosine(name: string, x: Value): Value {
    return this.graph.node({ op: 'Cos', name, inputs: [x] }, x.shape);
  }

  /** Each row and column twice: nearest-neighbour interpolation to twice the size. */
  double(name: string, x: Value): Value {
    const [batch, channels, rows, columns] = x.shape as [number, number, number, number];
    const sizes = this.graph.constant(
      `${name}/sizes`,
      int64([4], BigInt64Array.of(BigInt(batch), BigInt(channels), BigInt(2 * rows), BigInt(2 * columns))),
    );
    return this.graph.node(
      {
        op: 'Resize',
        name,
        inputs: [x, undefined, undefined, sizes],
        attributes: {
          mode: text('nearest'),
          coordinate_transformation_mode: text('asymmetric'),
          nearest_mode: text('floor'),
        },
      },
      [batch, channels, 2 * rows, 2 * columns],
    );
  }

  /** x * sigmoid(alpha * x): SiLU with alpha 1. */
  #quickGelu(name: string, x: Value, alpha: number): Value {
    return this.graph.node(
      { op: 'QuickGelu', domain: 'com.microsoft', name, inputs: [x], attributes: { alpha: float(alpha) } },
      x.shape,
    );
  }
}

function lastDim(value: Value): number {
  return value.shape.at(-1) as number;
}

function broadcastShape(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const dim = (shape: Shape, index: number) => shape[shape.length - rank + index] ?? 1;
  return Array.from({ length: rank }, (_, index) => Math.max(dim(a, index), dim(b, index)));
}
