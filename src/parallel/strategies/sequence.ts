import { DistriError, expected } from '../../base/errors.js';
import { sum } from '../../base/numbers.js';
import { splitEvenly } from '../../base/split.js';
import type { WeightSource } from '../../checkpoint/weights.js';
import { int, ints, type Value } from '../../graph/graph.js';
import type { Kernels } from '../../graph/kernels/kernels.js';
import type { SequenceOptions } from '../../pipelines/request.js';
import { evenGridBands, RowBands } from '../bands.js';
import type { AttentionSpec } from '../layers/layers.js';
import { SlotTable } from '../slots.js';
import { describeRange, type Parallelism, type ParallelismContext, synchronousStep } from '../strategy.js';
import type { RankRole } from '../topology.js';
import { DisplacedPatch } from './displaced-patch.js';

/**
 * Sequence parallelism of a transformer: each rank has a band of rows of tokens, and self-attention is exact. As the public project xDiT's hybrid of
 * DeepSpeed-Ulysses and Ring Attention, with tokens and heads that do not divide evenly divided unevenly. The latents are whole on every rank before
 * and after each step, as the scheduler needs them.
 */
export function sequenceParallel(context: ParallelismContext): Parallelism {
  const { topology, options, rows, patchSize } = context;
  if (patchSize === undefined) {
    throw new DistriError(
      'unsupported',
      'sequence divides the tokens of a transformer, and this model is a UNet; patch would work',
    );
  }
  const degrees = sequenceDegrees(topology.patches, options.sequence);
  const bands = evenGridBands(rows, patchSize, topology.patches);
  const slots = new SlotTable(topology.worldSize);
  return {
    variants: 1,
    layers: (_variant, kernels, weights) =>
      new SequenceParallel(kernels, weights, context, slots, bands, degrees.ulysses),
    variantOf: () => 0,
    step: synchronousStep,
    describe: (role) => describeShare(role, bands, degrees),
    slots,
  };
}

export interface SequenceDegrees {
  /** Ranks that exchange tokens for heads. */
  readonly ulysses: number;
  /** Ranks that pass on keys and values of the same heads. */
  readonly ring: number;
}

/** The degrees whose product is `ranks`; by default all ranks exchange heads, which sends least. */
export function sequenceDegrees(
  ranks: number,
  { ulyssesDegree, ringDegree }: SequenceOptions = {},
): SequenceDegrees {
  const ulysses = ulyssesDegree ?? ranks / (ringDegree ?? 1);
  const ring = ringDegree ?? ranks / ulysses;
  if (Number.isInteger(ulysses) && Number.isInteger(ring) && ulysses * ring === ranks)
    return { ulysses, ring };
  const given = [
    ...(ulyssesDegree === undefined ? [] : [`--ulysses_degree ${ulyssesDegree}`]),
    ...(ringDegree === undefined ? [] : [`--ring_degree ${ringDegree}`]),
  ];
  throw expected(`degrees whose product is the ${ranks} ranks of an image`, 'the degrees', given.join(' '));
}

function describeShare({ patch }: RankRole, bands: RowBands, { ulysses, ring }: SequenceDegrees): string {
  const band = describeRange('latent rows', bands.start(patch), bands.rows(patch), bands.total);
  if (ulysses * ring === 1) return band;
  const heads = ulysses === 1 ? 'all heads' : `part ${(patch % ulysses) + 1} of ${ulysses} of the heads`;
  const place = ring === 1 ? '' : `, place ${Math.floor(patch / ulysses) + 1} of ${ring} in the ring`;
  return `${band}, ${heads}${place}`;
}

const bytesPerFloat = 4;

class SequenceParallel extends DisplacedPatch {
  readonly #context: ParallelismContext;
  readonly #slots: SlotTable;
  readonly #ulysses: number;

  constructor(
    kernels: Kernels,
    weights: WeightSource,
    context: ParallelismContext,
    slots: SlotTable,
    bands: RowBands,
    ulysses: number,
  ) {
    super(kernels, weights, context, slots, bands);
    this.#context = context;
    this.#slots = slots;
    this.#ulysses = ulysses;
  }

  override selfAttention(x: Value, name: string, spec: AttentionSpec): Value {
    const { patchGroup, patch } = this.#context.role;
    if (patchGroup.length === 1) return super.selfAttention(x, name, spec);
    const [key, value] = this.keysAndValues(x, name, spec);
    const attributes = {
      heads: int(spec.heads),
      peers: ints(patchGroup),
      index: int(patch),
      ulysses: int(this.#ulysses),
      tokens: ints(this.#tokens(x)),
      ...this.#reserve(x, name, spec),
    };
    return this.attend(x, name, spec, (query, mixed) =>
      this.kernels.graph.node(
        {
          op: 'SequenceAttention',
          domain: 'distri',
          name: mixed,
          inputs: [query, key, value],
          attributes,
        },
        query.shape,
      ),
    );
  }

  /** Of each rank of the image. */
  #tokens(x: Value): number[] {
    const bands = x.region;
    if (!(bands instanceof RowBands))
      throw new Error(`${x.name} does not come from patchEmbed, so its rows are unknown`);
    const columns = (x.shape[1] as number) / bands.rows(this.#context.role.patch);
    return bands.counts.map((rows) => rows * columns);
  }

  /** A slot for queries, keys and values, and where heads are exchanged one for what becomes of them. */
  #reserve(x: Value, name: string, { heads, innerFeatures }: AttentionSpec) {
    const { topology } = this.#context;
    const ulysses = this.#ulysses;
    const tokens = this.#tokens(x);
    const perToken = bytesPerFloat * (x.shape[0] as number);
    const cuts = splitEvenly(heads, ulysses);
    const patch = (rank: number) => (topology.roles[rank] as RankRole).patch;
    const tensors = ulysses > 1 ? 3 : 2;
    const parts = (rank: number) => tensors * perToken * (tokens[patch(rank)] as number) * innerFeatures;
    const mixed = (rank: number) => {
      if (ulysses === 1) return 0;
      const member = patch(rank) % ulysses;
      const own = (cuts[member + 1] as number) - (cuts[member] as number);
      const first = patch(rank) - member;
      const group = sum(tokens.slice(first, first + ulysses));
      return perToken * group * own * (innerFeatures / heads);
    };
    return {
      slot: int(this.#slots.add(name, parts)),
      mixed_slot: int(this.#slots.add(`${name}/mixed`, mixed)),
    };
  }
}
