import { sum } from '../base/numbers.js';
import { elementCount, type Shape } from '../tensor/tensor.js';
import {
  type Attribute,
  type Domain,
  intAttribute,
  intsAttribute,
  type NodeSpec,
  type Operation,
} from './value.js';

/** The kinds of computation that multiply matrices, and everything else. */
export const computeKinds = ['conv', 'linear', 'attention', 'other'] as const;
/** One of the computations that multiply-accumulates are counted of; `other` has none. @useDeclaredType */
export type ComputeKind = (typeof computeKinds)[number];

/** What is known of an operator: from here cost, memory, exchange and docs/operators.md are read. */
export interface Operator {
  readonly domain: Domain;
  /** Operands and results, as docs/operators.md shows them; absent for ONNX's own, which ONNX documents. */
  readonly signature?: string;
  readonly computes?: string;
  readonly attributes: Readonly<Record<string, Attribute['type']>>;
  readonly kind: ComputeKind;
  /** Multiply-accumulates of an operation; none where absent. */
  readonly macs?: (operation: Operation) => number;
  /** Its result is its first operand in another shape: neither memory nor time. */
  readonly view?: true;
  /** Attributes that name the slots through which it exchanges, see parallel/slots.ts. */
  readonly slots?: readonly string[];
}

const norm = { groups: 'int', epsilon: 'float', activation: 'int' } as const;
const neighbours = { above: 'int', below: 'int', fresh: 'int' } as const;
const peers = { peers: 'ints', index: 'int' } as const;

function onnx(attributes: Operator['attributes'] = {}, more: Partial<Operator> = {}): Operator {
  return { domain: '', attributes, kind: 'other', ...more };
}

function distri(
  signature: string,
  computes: string,
  attributes: Operator['attributes'],
  more: Partial<Operator> = {},
): Operator {
  return { domain: 'distri', signature, computes, attributes, kind: 'other', ...more };
}

/** Every operator that models and strategies are built of, by name. */
export const operators = {
  Add: onnx(),
  /** To float32, of devices that compute with shorter floats. */
  Cast: onnx({}, { view: true }),
  Concat: onnx({ axis: 'int' }),
  Conv: onnx({ kernel_shape: 'ints', strides: 'ints', pads: 'ints' }, { kind: 'conv', macs: convMacs }),
  Cos: onnx(),
  Gather: onnx(),
  GatherND: onnx(),
  Gelu: onnx({ approximate: 'string' }),
  LayerNormalization: onnx({ axis: 'int', epsilon: 'float' }),
  Mul: onnx(),
  Reshape: onnx({}, { view: true }),
  Resize: onnx({ mode: 'string', coordinate_transformation_mode: 'string', nearest_mode: 'string' }),
  SimplifiedLayerNormalization: onnx({ axis: 'int', epsilon: 'float' }),
  Sin: onnx(),
  Slice: onnx(),
  Split: onnx({ axis: 'int', num_outputs: 'int' }),
  Transpose: onnx({ perm: 'ints' }),
  MultiHeadAttention: {
    domain: 'com.microsoft',
    attributes: { num_heads: 'int', unidirectional: 'int' },
    kind: 'attention',
    macs: attentionMacs(keyTokens),
  },
  /** Of pairs of neighbours: X, the first token's place, cosines and sines `[tokens, pairs of a head]`. */
  RotaryEmbedding: { domain: 'com.microsoft', attributes: { interleaved: 'int' }, kind: 'other' },
  QuickGelu: { domain: 'com.microsoft', attributes: { alpha: 'float' }, kind: 'other' },

  Linear: distri(
    'X `[..., K]`, weight `[N, K]`, bias `[N]` if bias, residual like Y if residual -> Y `[..., N]`, ' +
      '`[..., N/2]` with activation 1',
    'X times the transposed weight, plus bias; activation 1 is GEGLU: the first half of the features times the exact ' +
      '(erf) GELU of the second; plus residual. Weights are used where they lie, or packed when the session starts if ' +
      "it has private weights; a token's result does not depend on the others",
    { bias: 'int', residual: 'int', activation: 'int' },
    { kind: 'linear', macs: linearMacs },
  ),
  GroupNorm: distri(
    'X `[B, C, H, W]`, scale `[C]`, bias `[C]` -> Y like X',
    'group normalisation over the whole input, then the activation (0 none, 1 SiLU). float_sums 1: sums of each channel ' +
      'one by one in float32, as torch for tensors whose channels come last',
    { ...norm, float_sums: 'int' },
  ),
  Attention: distri(
    'Q `[B, t, C]`, K, V `[B, T, C]` -> Y like Q',
    'softmax(Q K^T / sqrt(C / heads)) V for each head, without a mask',
    { heads: 'int' },
    { kind: 'attention', macs: attentionMacs(keyTokens) },
  ),
  BiasedAttention: distri(
    'Q `[B, t, C]`, K, V `[B, T, C]`, bias `[B or 1, heads or 1, t or 1, T]` -> Y like Q',
    'softmax(scale * Q K^T + bias) V for each head; scores of less than -1e30 count as -1e30',
    { heads: 'int', scale: 'float' },
    { kind: 'attention', macs: attentionMacs(keyTokens) },
  ),
  PatchGroupNorm: distri(
    'as GroupNorm, X `[B, C, h, W]`',
    'group normalisation of a band of rows, see below; peers are the ranks of the patch group in patch order, index the ' +
      'own place among them; statistics 0 fresh, 1 stale, 2 corrected, 3 separate',
    { ...norm, slot: 'int', ...peers, statistics: 'int' },
    { slots: ['slot'] },
  ),
  PatchGroupNormHalo: distri(
    'as PatchGroupNorm -> Y `[B, C, h+2, W]`',
    'HaloExchange of PatchGroupNorm, without the copy between',
    { ...norm, slot: 'int', ...peers, statistics: 'int', halo_slot: 'int', ...neighbours },
    { slots: ['slot', 'halo_slot'] },
  ),
  HaloExchange: distri(
    'X `[B, C, h, W]` -> Y `[B, C, h+2, W]`',
    'X between the last row of the band above and the first row of the band below (ranks, -1 at the border of the image, ' +
      'where there are zeros)',
    { slot: 'int', ...neighbours },
    { slots: ['slot'] },
  ),
  HaloStrips: distri(
    'X `[B, C, h, W]` -> Y `[B, C, 6, W]`',
    'the row above the band with its first two rows, and its last two rows with the one below: what a 3x3 convolution ' +
      'needs for the first and last row',
    { slot: 'int', ...neighbours },
    { slots: ['slot'] },
  ),
  ReplaceRows: distri(
    'X `[B, C, h, W]`, R `[B, C, k, W]` -> Y like X',
    'X whose first and last rows are those rows of R; -1 for a row that stays',
    { first: 'int', last: 'int' },
  ),
  PatchAttention: distri(
    'Q, K, V `[B, t, C]` of the own band -> Y like Q',
    'Attention to the keys and values of all bands, in the order of peers; tokens of each peer',
    { heads: 'int', slot: 'int', ...peers, tokens: 'ints', fresh: 'int' },
    { kind: 'attention', macs: attentionMacs(allTokens), slots: ['slot'] },
  ),
  CachedAttention: distri(
    'Q, K, V `[B, t, C]` of the own part of a band, place `[1 + 2 ranks]` -> Y like Q',
    'Attention to the tokens of the image that were there in this or an earlier call: K and V are kept, `[B, tokens, C]` ' +
      'each, and those of this call take their place before the product. `place` says which of the slots from `slot` ' +
      "on, then first token and number of tokens of each peer's part; peers exchange their parts, always fresh. An image " +
      'is known by `step.read_tick`; its bands come in order the first time',
    { heads: 'int', tokens: 'int', slot: 'int', ...peers },
    { kind: 'attention', macs: attentionMacs(imageTokens), slots: ['slot'] },
  ),
  SequenceAttention: distri(
    'Q, K, V `[B, t, C]` of the own tokens -> Y like Q',
    'Attention to the tokens of all peers (ranks of the image in order), exact: tokens for heads within a group of ' +
      '`ulysses` consecutive peers, then group after group in the order of the ring, merged by log-sum-exp; always fresh',
    { heads: 'int', ...peers, ulysses: 'int', tokens: 'ints', slot: 'int', mixed_slot: 'int' },
    { kind: 'attention', macs: attentionMacs(allTokens), slots: ['slot', 'mixed_slot'] },
  ),
  GatherBands: distri(
    'X `[b, C, h, w]` -> Y `[B, C, H, W]`',
    'Y assembled from the parts of all `ranks`, one entry each of batch_start … column_count; always fresh',
    {
      slot: 'int',
      ranks: 'ints',
      batch_start: 'ints',
      batch_count: 'ints',
      row_start: 'ints',
      row_count: 'ints',
      column_start: 'ints',
      column_count: 'ints',
      batch: 'int',
      rows: 'int',
      columns: 'int',
    },
    { slots: ['slot'] },
  ),
  AllReduceSum: distri(
    'X (any shape) -> Y `shape`',
    'sum of the X of the `sources` (the ranks that have a part, in the order of the sum), equal to the bit on all ranks; ' +
      'a rank that is no source gives any X; always fresh',
    { slot: 'int', share_slot: 'int', ...peers, sources: 'ints', shape: 'ints' },
    { slots: ['slot', 'share_slot'] },
  ),
} as const satisfies Readonly<Record<string, Operator>>;

export type OperatorName = keyof typeof operators;

/** What is known of the operator of this name; undefined for others, which only benchmarks and tests use. */
export function findOperator(name: string): Operator | undefined {
  return Object.hasOwn(operators, name) ? operators[name as OperatorName] : undefined;
}

function shapesOf({ spec }: Operation): readonly Shape[] {
  return spec.inputs.map((value) => value?.shape ?? []);
}

function resultElements({ outputs }: Operation): number {
  return elementCount(outputs[0]?.shape ?? []);
}

/** Weight `[out, in, k, k]`: each result is a sum over all but the first. */
function convMacs(operation: Operation): number {
  const [, weight] = shapesOf(operation) as [Shape, Shape];
  return resultElements(operation) * elementCount(weight.slice(1));
}

/** Weight `[out, in]` for every token of x `[..., in]`. */
function linearMacs(operation: Operation): number {
  const [x, weight] = shapesOf(operation) as [Shape, Shape];
  return elementCount(x.slice(0, -1)) * elementCount(weight);
}

/**
 * Query `[batch, tokens, inner]` against the keys of `attended` tokens, then the same against their values.
 */
function attentionMacs(attended: (spec: NodeSpec) => number): (operation: Operation) => number {
  return (operation) => {
    const [query] = shapesOf(operation) as [Shape];
    return 2 * elementCount(query) * attended(operation.spec);
  };
}

function keyTokens({ inputs }: NodeSpec): number {
  return inputs[1]?.shape[1] as number;
}

/** Of the whole image, though only a band's keys are operands. */
function imageTokens(spec: NodeSpec): number {
  return intAttribute(spec, 'tokens');
}

function allTokens(spec: NodeSpec): number {
  return sum(intsAttribute(spec, 'tokens'));
}
