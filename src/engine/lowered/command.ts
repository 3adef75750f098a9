import type { ElementType } from '../../tensor/element-type.js';
import type { View } from './view.js';

/** What a command takes: operands in order, `?` for those that may be left out, and numbers. */
interface CommandRow {
  readonly operands: readonly string[];
  readonly attributes: readonly string[];
}

const unary: CommandRow = { operands: ['x', 'y'], attributes: [] };
const binary: CommandRow = { operands: ['a', 'b', 'y'], attributes: [] };
const norm: CommandRow = {
  operands: ['x', 'scale', 'shift?', 'imageScale?', 'imageShift?', 'y'],
  attributes: ['epsilon'],
};

/**
 * What devices can do, see docs/engines.md. Images are `[batch, rows, columns, channels]`, tokens
 * `[batch, tokens, features]`; y is the result.
 */
export const commands = {
  /** y = x, converted to its type. */
  Copy: unary,
  /** Zeros in a frame around the image y. */
  ClearFrame: { operands: ['y'], attributes: ['top', 'left', 'bottom', 'right'] },
  /**
   * y = activation(x * weight + bias + shift) * gate + residual at `[images, rows, columns]`, features last;
   * shift and gate are `[images, features]`. x is the first segment of the operand, the others lie
   * `distances` away. Of y's columns the sums of some at a time go to `columnSums`, see column-sums.ts.
   */
  Product: {
    operands: ['x', 'weight', 'bias?', 'shift?', 'gate?', 'residual?', 'y', 'columnSums?'],
    attributes: ['distances', 'activation'],
  },
  /**
   * x `[images, rows, columns, channels]` as tiles of six columns, each four after the one before, combined
   * as products of a 3x3 convolution take them: y `[6, images, rows, tiles, channels]`, see column-tiles.ts.
   * Columns beyond the last are zeros.
   */
  SplitColumns: unary,
  /** What products `[6, images, rows, tiles, features]` of them come to, finished as those of `Product`. */
  JoinColumns: {
    operands: ['x', 'bias?', 'shift?', 'gate?', 'residual?', 'y'],
    attributes: ['activation'],
  },
  /**
   * softmax(scale * query key^T + bias) value for each of `heads`; bias `[batch, heads, tokens, keys]`, of
   * float32.
   */
  Attention: { operands: ['query', 'key', 'value', 'bias?', 'y'], attributes: ['heads', 'scale', 'causal'] },
  /** With the sums of x's columns where they are known, and room for those of each row and group. */
  GroupNorm: {
    operands: ['x', 'scale', 'shift', 'columnSums?', 'sums', 'y'],
    attributes: ['groups', 'epsilon', 'silu', 'floatSums'],
  },
  /** Then times 1 + imageScale, plus imageShift, which are `[images, features]`. */
  LayerNorm: norm,
  RmsNorm: norm,
  Add: binary,
  /** Of x's first dimension, in its order. */
  Sum: unary,
  Multiply: binary,
  Silu: unary,
  QuickGelu: unary,
  Gelu: unary,
  GeluTanh: unary,
  Sine: unary,
  Cosine: unary,
  /** Pairs of neighbouring features by the angles of their token, `[tokens, pairs of a head]`. */
  Rotate: { operands: ['x', 'cosines', 'sines', 'y'], attributes: [] },
  /** Rows of a table. */
  Gather: { operands: ['table', 'ids', 'y'], attributes: [] },
  /** Tokens at `(batch, token)`. */
  PickTokens: { operands: ['x', 'positions', 'y'], attributes: [] },
  /** Sums of the rows of x by image and group, from those of its columns where they are known. */
  Statistics: { operands: ['x', 'columnSums?', 'rows', 'sums'], attributes: ['groups'] },
  /** GroupNorm of a band: own sums, those of `peers` other ranks, and the own ones that they knew. */
  BandNorm: {
    operands: ['x', 'scale', 'shift', 'sums', 'others', 'before?', 'y'],
    attributes: ['groups', 'epsilon', 'silu', 'statistics', 'peers'],
  },
  /** x into the own slot from byte `offset` on. Ages of what is exchanged are those of parallel/slots.ts. */
  Leave: { operands: ['x'], attributes: ['slot', 'offset', 'age'] },
  Publish: { operands: [], attributes: ['slot', 'age'] },
  /** y from a peer's slot, from byte `offset` on. */
  Fetch: { operands: ['y'], attributes: ['slot', 'peer', 'offset', 'age'] },
} as const satisfies Readonly<Record<string, CommandRow>>;

export type CommandName = keyof typeof commands;

/** One of the steps of a program: static in all but the data. */
export interface Command {
  readonly op: CommandName;
  /** Of the operation that it comes from, for errors, profiles and lists. */
  readonly name: string;
  readonly operands: Readonly<Record<string, View>>;
  readonly attributes: Readonly<Record<string, number | readonly number[]>>;
}

/** Bytes of a statistic that ranks exchange: native/device/cpu/exact_sums.h. */
export const exactSumBytes = 48;

/** How a product's weight is packed: `[features, segments, inner]`. */
export interface PackedWeight {
  readonly features: number;
  readonly segments: number;
  readonly inner: number;
  readonly dtype: ElementType;
  readonly geglu: boolean;
  /** Where segments are sums of the weight's own: factors `[segments, own segments]`. */
  readonly mix?: readonly number[];
}
