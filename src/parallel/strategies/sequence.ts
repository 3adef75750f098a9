import { expected } from '../../base/errors.js';
import { sum } from '../../base/numbers.js';
import { splitEvenly } from '../../base/split.js';
import type { WeightSource } from '../../checkpoint/weights.js';
import type { Kernels } from '../../graph/kernels/kernels.js';
import { type Bands, tokensOf } from '../../graph/region.js';
import type { Value } from '../../graph/value.js';
import { itemBytes } from '../../tensor/element-type.js';
import { type BandContext, BandedLayers } from '../layers/banded.js';
import type { MixJoint } from '../layers/joint-attention.js';
import type { AttentionSpec } from '../layers/tokens.js';
import { evenGridBands } from '../plan-bands.js';
import { SlotTable } from '../slots.js';
import { describeRange, divisors, type LayerStrategy, plainRow, synchronousStep } from '../strategy.js';
import type { RankRole } from '../topology.js';

/**
 * The product is the number of ranks of an image; what is left out follows, and by default is `ringDegree` 1.
 */
/** Options of `sequence`. The product of both degrees is the number of ranks that share an image. */
export interface SequenceOptions {
  /** Ranks that exchange tokens for heads around attention. */
  readonly ulyssesDegree?: number | undefined;
  /** Ranks whose keys and values are attended to one after another. */
  readonly ringDegree?: number | undefined;
}

/**
 * Sequence parallelism of a transformer: each rank has a band of rows of tokens, and self-attention is exact.
 * As the public project xDiT's hybrid of DeepSpeed-Ulysses and Ring Attention, with tokens and heads that do
 * not divide evenly divided unevenly. The latents are whole on every rank before and after each step, as the
 * scheduler needs them.
 */
export const sequence: LayerStrategy<SequenceOptions> = {
  ...plainRow,
  kind: 'layers',
  text: 'a band of tokens each, attention exact: Ulysses, ring, or both',
  needs: 'blocks',
  options: [
    {
      name: 'ulysses_degree',
      text: 'ranks that exchange tokens for heads',
      takes: { type: 'integer', least: 1 },
      defaultText: 'all of an image',
    },
    {
      name: 'ring_degree',
      text: 'ranks that pass on keys and values',
      takes: { type: 'integer', least: 1 },
      defaultText: '1',
    },
  ],
  describeSteps: (options, { patches }) => {
    const { ulysses, ring } = sequenceDegrees(patches, options);
    return `sequence parallelism, ulysses degree ${ulysses}, ring degree ${ring}`;
  },
  ways: (_options, ranks) =>
    divisors(ranks).map((ulyssesDegree) => ({ ulyssesDegree, ringDegree: ranks / ulyssesDegree })),
  describeWay: (options, ranks) => {
    const { ulysses, ring } = sequenceDegrees(ranks, options);
    return `ulysses ${ulysses} x ring ${ring}`;
  },
  create: ({ topology, role, options, model }) => {
    const { blocks, latent } = model;
    if (!blocks) throw new Error('sequence parallelism needs a model that is a row of blocks');
    const degrees = sequenceDegrees(topology.patches, options);
    const bands = evenGridBands(latent.rows, blocks.patchSize, topology.patches);
    const slots = new SlotTable(topology.worldSize);
    const banded = { topology, role, bands, slots };
    return {
      variants: 1,
      layers: (_variant, kernels, weights) => new SequenceParallel(kernels, weights, banded, degrees.ulysses),
      variantOf: () => 0,
      step: synchronousStep,
      describe: (other) => describeShare(other, bands, degrees),
      slots,
    };
  },
};

interface SequenceDegrees {
  /** Ranks that exchange tokens for heads. */
  readonly ulysses: number;
  /** Ranks that pass on keys and values of the same heads. */
  readonly ring: number;
}

/** The degrees whose product is `ranks`; by default all ranks exchange heads, which sends least. */
function sequenceDegrees(ranks: number, { ulyssesDegree, ringDegree }: SequenceOptions): SequenceDegrees {
  const ulysses = ulyssesDegree ?? ranks / (ringDegree ?? 1);
  const ring = ringDegree ?? ranks / ulysses;
  if (Number.isInteger(ulysses) && Number.isInteger(ring) && ulysses * ring === ranks)
    return { ulysses, ring };
  const given = [
    ...(ulyssesDegree === undefined ? [] : [`--ulysses_degree ${ulyssesDegree}`]),
    ...(ringDegree === undefined ? [] : [`--ring_degree ${ringDegree}`]),
  ];
  throw expected(`a product of ${ranks}, the ranks of an image,`, 'the degrees', given.join(' '));
}

function describeShare({ patch }: RankRole, bands: Bands, { ulysses, ring }: SequenceDegrees): string {
  const band = describeRange('latent rows', bands.start(patch), bands.rows(patch), bands.total);
  if (ulysses * ring === 1) return band;
  const heads = ulysses === 1 ? 'all heads' : `part ${(patch % ulysses) + 1} of ${ulysses} of the heads`;
  const place = ring === 1 ? '' : `, place ${Math.floor(patch / ulysses) + 1} of ${ring} in the ring`;
  return `${band}, ${heads}${place}`;
}

class SequenceParallel extends BandedLayers {
  readonly #ulysses: number;

  constructor(kernels: Kernels, weights: WeightSource, context: BandContext, ulysses: number) {
    super(kernels, weights, context);
    this.#ulysses = ulysses;
  }

  override selfAttention(x: Value, name: string, spec: AttentionSpec): Value {
    if (this.alone) return super.selfAttention(x, name, spec);
    const [key, value] = this.keysAndValues(x, name, spec);
    const exchange = this.#exchange(tokensOf(this.regionOf(x)), x, name, spec);
    return this.attend(x, name, spec, (query, mixed) =>
      this.kernels.exchange.sequenceAttention(mixed, query, key, value, exchange),
    );
  }

  protected override mixJoint(...given: Parameters<MixJoint>): Value {
    if (this.alone) return super.mixJoint(...given);
    const [name, query, key, value, { heads, features, wholeText }] = given;
    const tokens = this.jointTokens(query, wholeText);
    const exchange = this.#exchange(tokens, query, name, { heads, innerFeatures: features });
    return this.kernels.exchange.sequenceAttention(name, query, key, value, exchange);
  }

  /** What an attention among so many tokens of each rank is told; `x` has the type and batch of them. */
  #exchange(tokens: readonly number[], x: Value, name: string, spec: Heads) {
    const { patchGroup, patch } = this.context.role;
    return {
      heads: spec.heads,
      peers: patchGroup,
      index: patch,
      ulysses: this.#ulysses,
      tokens,
      ...this.#reserve(tokens, x, name, spec),
    };
  }

  /** A slot for queries, keys and values, and where heads are exchanged one for what becomes of them. */
  #reserve(
    tokens: readonly number[],
    x: Value,
    name: string,
    spec: Heads,
  ): { slot: number; mixedSlot: number } {
    const { slots } = this.context;
    const share = new TokenShares(tokens, this.#ulysses, spec, x);
    const patch = (rank: number) => this.roleOf(rank).patch;
    const together = (a: number, b: number) => this.roleOf(a).patchGroup.includes(b);
    const swapped = this.#ulysses > 1;
    const slot = slots.add({
      name,
      kind: swapped ? 'heads' : 'keys_values',
      age: 'fresh',
      bytes: this.inGroup((member) => share.published(member)),
      reads: (reader, publisher) =>
        together(reader, publisher) ? share.readBy(patch(reader), patch(publisher)) : 0,
      kindOfRead: (reader, publisher) =>
        share.sameGroup(patch(reader), patch(publisher)) ? 'heads' : 'keys_values',
    });
    const mixedSlot = slots.add({
      name: `${name}/mixed`,
      kind: 'heads',
      age: 'fresh',
      bytes: this.inGroup((member) => (swapped ? share.mixed(member) : 0)),
      reads: (reader, publisher) =>
        swapped && together(reader, publisher) && share.sameGroup(patch(reader), patch(publisher))
          ? share.mixedFor(patch(reader), patch(publisher))
          : 0,
    });
    return { slot, mixedSlot };
  }
}

/** What of an attention decides what is exchanged. */
type Heads = Pick<AttentionSpec, 'heads' | 'innerFeatures'>;

/** How many bytes the ranks of an image, known by their place, leave for each other in one attention. */
class TokenShares {
  readonly #tokens: readonly number[];
  readonly #ulysses: number;
  /** First head of each member of a Ulysses group and, last, their number. */
  readonly #heads: readonly number[];
  /** Of one tensor, all heads. */
  readonly #bytesPerToken: number;

  constructor(tokens: readonly number[], ulysses: number, { heads, innerFeatures }: Heads, x: Value) {
    this.#tokens = tokens;
    this.#ulysses = ulysses;
    this.#heads = splitEvenly(heads, ulysses);
    this.#bytesPerToken = itemBytes[x.dtype] * (x.shape[0] as number) * innerFeatures;
  }

  sameGroup(a: number, b: number): boolean {
    return this.#groupOf(a) === this.#groupOf(b);
  }

  /** Queries, keys and values, or where no heads are exchanged keys and values alone. */
  published(place: number): number {
    return (this.#ulysses > 1 ? 3 : 2) * this.#bytesPerToken * (this.#tokens[place] as number);
  }

  /** Of its heads: all three tensors of its own group, keys and values of others. */
  readBy(reader: number, publisher: number): number {
    const tensors = this.#ulysses > 1 && this.sameGroup(reader, publisher) ? 3 : 2;
    return tensors * this.#bytesPerToken * this.#shareOf(reader) * (this.#tokens[publisher] as number);
  }

  /** What becomes of the heads of a rank, for all tokens of its group. */
  mixed(place: number): number {
    const first = this.#groupOf(place) * this.#ulysses;
    const tokens = sum(this.#tokens.slice(first, first + this.#ulysses));
    return this.#bytesPerToken * this.#shareOf(place) * tokens;
  }

  /** Of these, those for the reader's tokens. */
  mixedFor(reader: number, publisher: number): number {
    return this.#bytesPerToken * this.#shareOf(publisher) * (this.#tokens[reader] as number);
  }

  #groupOf(place: number): number {
    return Math.floor(place / this.#ulysses);
  }

  /** Of all heads, those of a rank. */
  #shareOf(place: number): number {
    const member = place % this.#ulysses;
    const own = (this.#heads[member + 1] as number) - (this.#heads[member] as number);
    return own / (this.#heads.at(-1) as number);
  }
}
