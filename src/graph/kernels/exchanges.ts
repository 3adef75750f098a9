import type { Shape } from '../../tensor/tensor.js';
import type { Graph } from '../graph.js';
import type { OperatorName } from '../operators.js';
import { type Attributes, float, int, ints, type Value } from '../value.js';
import { activationCode, type NormSpec } from './norm.js';

/** The bands above and below a band (-1 at the border of the image) and the slot for its border rows. */
export interface HaloSpec {
  readonly slot: number;
  readonly above: number;
  readonly below: number;
  /** Always of this step. */
  readonly fresh: boolean;
}

/** Whose statistics a norm of a band is computed with, see docs/operators.md. */
export const patchStatistics = { fresh: 0, stale: 1, corrected: 2, separate: 3 } as const;

export interface PatchNormSpec extends NormSpec {
  readonly slot: number;
  /** Ranks of the patch group in the order of their bands, and the own place among them. */
  readonly peers: readonly number[];
  readonly index: number;
  readonly statistics: keyof typeof patchStatistics;
}

export interface PatchAttentionSpec {
  readonly heads: number;
  readonly slot: number;
  readonly peers: readonly number[];
  readonly index: number;
  /** Of each peer. */
  readonly tokens: readonly number[];
  readonly fresh: boolean;
}

export interface SequenceAttentionSpec {
  readonly heads: number;
  readonly peers: readonly number[];
  readonly index: number;
  /** Consecutive peers that exchange tokens for heads. */
  readonly ulysses: number;
  readonly tokens: readonly number[];
  readonly slot: number;
  readonly mixedSlot: number;
}

export interface CachedAttentionSpec {
  readonly heads: number;
  /** Of the whole image. */
  readonly tokens: number;
  /** For the first height of a part; those for the others follow. */
  readonly slot: number;
  readonly peers: readonly number[];
  readonly index: number;
}

export interface ReduceSpec {
  readonly slot: number;
  readonly shareSlot: number;
  readonly peers: readonly number[];
  readonly index: number;
  /** Ranks that have a part, in the order of the sum. */
  readonly sources: readonly number[];
}

/** Where a rank's part lies in the whole. */
export interface GatheredPart {
  readonly rank: number;
  readonly batchStart: number;
  readonly batchCount: number;
  readonly row: number;
  readonly rows: number;
  readonly column: number;
  readonly columns: number;
}

/** What ranks exchange becomes nodes here: operators of domain `distri`, see docs/operators.md. */
export class ExchangeKernels {
  readonly #graph: Graph;

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  /** x `[batch, channels, rows, columns]` -> `[batch, channels, rows + 2, columns]`. */
  halo(name: string, x: Value, spec: HaloSpec): Value {
    return this.#node('HaloExchange', name, [x], withHalo(x.shape), haloAttributes(spec));
  }

  /** x `[batch, channels, rows, columns]` -> `[batch, channels, 6, columns]`. */
  haloStrips(name: string, x: Value, spec: HaloSpec): Value {
    return this.#node('HaloStrips', name, [x], x.shape.with(2, 6), haloAttributes(spec));
  }

  /** x with row `first` of `rows` as its first row and row `last` as its last; -1 leaves a row. */
  replaceRows(name: string, x: Value, rows: Value, first: number, last: number): Value {
    return this.#node('ReplaceRows', name, [x, rows], x.shape, { first: int(first), last: int(last) });
  }

  /** As Kernels.groupNorm, with the statistics of other bands. */
  patchGroupNorm(name: string, x: Value, weight: Value, bias: Value, spec: PatchNormSpec): Value {
    return this.#node('PatchGroupNorm', name, [x, weight, bias], x.shape, normAttributes(spec));
  }

  /** The same between the border rows of the bands above and below. */
  patchGroupNormHalo(
    name: string,
    x: Value,
    weight: Value,
    bias: Value,
    norm: PatchNormSpec,
    halo: HaloSpec,
  ): Value {
    const { slot, ...border } = haloAttributes(halo);
    const attributes = { ...normAttributes(norm), ...border, halo_slot: slot };
    return this.#node('PatchGroupNormHalo', name, [x, weight, bias], withHalo(x.shape), attributes);
  }

  /** Attention of a band's tokens `[batch, tokens, inner]` to those of all bands. */
  patchAttention(name: string, query: Value, key: Value, value: Value, spec: PatchAttentionSpec): Value {
    const { heads, slot, peers, index, tokens, fresh } = spec;
    return this.#node('PatchAttention', name, [query, key, value], query.shape, {
      heads: int(heads),
      slot: int(slot),
      peers: ints(peers),
      index: int(index),
      tokens: ints(tokens),
      fresh: int(fresh ? 1 : 0),
    });
  }

  /** Exact attention of a rank's tokens `[batch, tokens, inner]` to those of all peers. */
  sequenceAttention(
    name: string,
    query: Value,
    key: Value,
    value: Value,
    spec: SequenceAttentionSpec,
  ): Value {
    const { heads, peers, index, ulysses, tokens, slot, mixedSlot } = spec;
    return this.#node('SequenceAttention', name, [query, key, value], query.shape, {
      heads: int(heads),
      peers: ints(peers),
      index: int(index),
      ulysses: int(ulysses),
      tokens: ints(tokens),
      slot: int(slot),
      mixed_slot: int(mixedSlot),
    });
  }

  /**
   * Attention of a part's tokens `[batch, tokens, inner]` to those of the whole image as they were last
   * computed.
   */
  cachedAttention(
    name: string,
    query: Value,
    key: Value,
    value: Value,
    place: Value,
    spec: CachedAttentionSpec,
  ): Value {
    const { heads, tokens, slot, peers, index } = spec;
    return this.#node('CachedAttention', name, [query, key, value, place], query.shape, {
      heads: int(heads),
      tokens: int(tokens),
      slot: int(slot),
      peers: ints(peers),
      index: int(index),
    });
  }

  /** The whole `[batch, channels, rows, columns]`, on every rank, of these parts. */
  gather(name: string, x: Value, slot: number, parts: readonly GatheredPart[], whole: Shape): Value {
    const [batch, , rows, columns] = whole as [number, number, number, number];
    const each = (pick: (part: GatheredPart) => number) => ints(parts.map(pick));
    const attributes = {
      slot: int(slot),
      ranks: each(({ rank }) => rank),
      batch_start: each(({ batchStart }) => batchStart),
      batch_count: each(({ batchCount }) => batchCount),
      row_start: each(({ row }) => row),
      row_count: each((part) => part.rows),
      column_start: each(({ column }) => column),
      column_count: each((part) => part.columns),
      batch: int(batch),
      rows: int(rows),
      columns: int(columns),
    };
    const spec = { op: 'GatherBands', domain: 'distri', name, inputs: [x], attributes } as const;
    return this.#graph.nodeOfRegion(spec, whole, undefined, x.dtype);
  }

  /** The sum of all sources' x, of this shape; a rank that is no source gives any value. */
  allReduceSum(name: string, x: Value, shape: Shape, spec: ReduceSpec): Value {
    const { slot, shareSlot, peers, index, sources } = spec;
    return this.#node('AllReduceSum', name, [x], shape, {
      slot: int(slot),
      share_slot: int(shareSlot),
      peers: ints(peers),
      index: int(index),
      sources: ints(sources),
      shape: ints(shape),
    });
  }

  /** The result is of the type and part of the image of its first operand. */
  #node(
    op: OperatorName,
    name: string,
    inputs: readonly [Value, ...Value[]],
    shape: Shape,
    attributes: Attributes,
  ): Value {
    const [{ region, dtype }] = inputs;
    return this.#graph.nodeOfRegion({ op, domain: 'distri', name, inputs, attributes }, shape, region, dtype);
  }
}

function withHalo(shape: Shape): Shape {
  return shape.with(2, (shape[2] as number) + 2);
}

function haloAttributes({ slot, above, below, fresh }: HaloSpec) {
  return { slot: int(slot), above: int(above), below: int(below), fresh: int(fresh ? 1 : 0) };
}

function normAttributes(spec: PatchNormSpec) {
  return {
    groups: int(spec.groups),
    epsilon: float(spec.epsilon),
    activation: int(activationCode(spec.activation)),
    slot: int(spec.slot),
    peers: ints(spec.peers),
    index: int(spec.index),
    statistics: int(patchStatistics[spec.statistics]),
  };
}
