import type { WeightSource } from '../../checkpoint/weights.js';
import type { Step } from '../../engine/addon.js';
import type { HaloSpec, PatchNormSpec } from '../../graph/kernels/exchanges.js';
import type { Kernels } from '../../graph/kernels/kernels.js';
import { tokensOf } from '../../graph/region.js';
import type { Value } from '../../graph/value.js';
import { itemBytes } from '../../tensor/element-type.js';
import { type BandContext, BandedLayers } from '../layers/banded.js';
import type { ConvSpec, GroupNormSpec } from '../layers/image.js';
import type { MixJoint } from '../layers/joint-attention.js';
import type { AttentionSpec } from '../layers/tokens.js';
import { gridBands, planBands } from '../plan-bands.js';
import { readWhole, type SlotAge, SlotTable } from '../slots.js';
import { describeRange, type LayerStrategy, plainRow, synchronousStep } from '../strategy.js';
import { type SyncMode, syncModeNames, syncModes } from '../sync-modes.js';

/** Options of `patch`. */
export interface DisplacedOptions {
  /** What ranks exchange after the warm-up; by default corrected_async_gn. */
  readonly syncMode: SyncMode;
  /** As in distrifuser, one more step than this is synchronous; by default 4. */
  readonly warmupSteps: number;
}

/**
 * Displaced patch parallelism (DistriFusion, CVPR 2024): each rank has a band of rows; what a layer needs of
 * other bands is, after the synchronous steps, that of the step before. Matches distrifuser's modules/pp
 * (conv2d.py, attn.py, groupnorm.py) with its Bessel factor left out and bands of any size.
 */
export const displacedPatch: LayerStrategy<DisplacedOptions> = {
  ...plainRow,
  kind: 'layers',
  text: 'a band of rows each; what is needed of others is, after the warm-up, of the step before (DistriFusion)',
  options: [
    {
      name: 'sync_mode',
      text: 'what ranks exchange after the warm-up',
      takes: { type: 'choice', values: syncModeNames },
      default: 'corrected_async_gn',
      tolerated: true,
    },
    {
      name: 'warmup_steps',
      text: 'n + 1 steps are synchronous',
      takes: { type: 'integer', least: 0 },
      default: 4,
      tolerated: true,
    },
  ],
  isExact: ({ syncMode }) => syncModes[syncMode].reads === 'same',
  folderName: ({ syncMode, warmupSteps }) => `warmup${warmupSteps}-${syncMode}`,
  warmUp: ({ syncMode, warmupSteps }) => (syncModes[syncMode].reads === 'same' ? undefined : warmupSteps + 1),
  describeSteps: (options, _topology, steps) => {
    const { syncMode } = options;
    const synchronous = displacedPatch.warmUp(options) ?? steps;
    if (synchronous >= steps) return `patches, ${syncMode}, all steps synchronous`;
    const { after } = syncModes[syncMode];
    return `displaced patches, ${syncMode}, ${synchronous} synchronous steps, then ${after}`;
  },
  create: (context) => {
    const { topology, role, options, model } = context;
    const { latent, halvings, blocks } = model;
    const bands = blocks
      ? gridBands(latent.rows, blocks.patchSize, topology.patches)
      : planBands(latent.rows, halvings, topology.patches);
    const slots = new SlotTable(topology.worldSize);
    const banded = { topology, role, bands, slots };
    return {
      variants: 1,
      layers: (_variant, kernels, weights) => new DisplacedPatch(kernels, weights, banded, options.syncMode),
      variantOf: () => 0,
      describe: ({ patch }) =>
        describeRange('latent rows', bands.start(patch), bands.rows(patch), bands.total),
      step: (call, firstTick) => displacedStep(call, firstTick, options),
      slots,
    };
  },
};

/** Layers on a rank's band of rows, with what they need of the other bands. */
export class DisplacedPatch extends BandedLayers {
  readonly #mode: (typeof syncModes)[SyncMode];

  constructor(kernels: Kernels, weights: WeightSource, context: BandContext, mode: SyncMode) {
    super(kernels, weights, context);
    this.#mode = syncModes[mode];
  }

  override conv2d(x: Value, name: string, spec: ConvSpec): Value {
    if (this.alone || spec.kernel === 1) return super.conv2d(x, name, spec);
    const bordered = this.kernels.exchange.halo(`${name}.halo`, x, this.reserveHalo(x, name));
    const after = spec.zeros === 'after';
    const rows = bordered.shape[2] as number;
    const read = after ? this.kernels.slice(`${name}.halo/below`, bordered, 2, 1, rows) : bordered;
    const result = this.convolve(read, name, spec, [0, after ? 0 : 1, 0, 1]);
    return spec.stride === 2 ? this.inRegion(result, this.regionOf(x).bands.halved()) : result;
  }

  override groupNorm(x: Value, name: string, spec: GroupNormSpec): Value {
    if (this.alone) return super.groupNorm(x, name, spec);
    const [weight, bias] = this.#normWeights(name, spec);
    return this.kernels.exchange.patchGroupNorm(name, x, weight, bias, this.#reserveNorm(x, name, spec));
  }

  /** The norm writes its band between the neighbours' rows, where the convolution reads it. */
  override normedConv2d(
    x: Value,
    normName: string,
    norm: GroupNormSpec,
    convName: string,
    conv: ConvSpec,
  ): Value {
    if (this.alone) return super.normedConv2d(x, normName, norm, convName, conv);
    const halo = this.reserveHalo(x, convName);
    const [weight, bias] = this.#normWeights(normName, norm);
    const spec = this.#reserveNorm(x, normName, norm);
    const band = this.kernels.exchange.patchGroupNormHalo(normName, x, weight, bias, spec, halo);
    return this.convolve(band, convName, conv, [0, 1, 0, 1]);
  }

  override selfAttention(x: Value, name: string, spec: AttentionSpec): Value {
    if (this.alone) return super.selfAttention(x, name, spec);
    const [key, value] = this.keysAndValues(x, name, spec);
    const exchange = this.#reserveTokens(tokensOf(this.regionOf(x)), key, name, spec.heads);
    return this.attend(x, name, spec, (query, mixed) =>
      this.kernels.exchange.patchAttention(mixed, query, key, value, exchange),
    );
  }

  protected override mixJoint(...given: Parameters<MixJoint>): Value {
    if (this.alone) return super.mixJoint(...given);
    const [name, query, key, value, { heads, wholeText }] = given;
    const exchange = this.#reserveTokens(this.jointTokens(query, wholeText), key, name, heads);
    return this.kernels.exchange.patchAttention(name, query, key, value, exchange);
  }

  /** For operators that exchange rows with the bands above and below. */
  protected reserveHalo(x: Value, name: string): HaloSpec {
    const { role, slots } = this.context;
    const [batch, channels, , columns] = x.shape as [number, number, number, number];
    const bytes = this.inGroup(() => 2 * itemBytes[x.dtype] * batch * channels * columns);
    const neighbours = (rank: number) => {
      const { patchGroup, patch } = this.roleOf(rank);
      return [patchGroup[patch - 1], patchGroup[patch + 1]].filter((peer) => peer !== undefined);
    };
    return {
      slot: slots.add({
        name,
        kind: 'halo',
        age: this.#age,
        bytes,
        // A band leaves its first row and its last, of which each neighbour reads one.
        reads: readWhole(neighbours, (rank) => bytes(rank) / 2),
      }),
      above: role.patchGroup[role.patch - 1] ?? -1,
      below: role.patchGroup[role.patch + 1] ?? -1,
      fresh: this.#fresh,
    };
  }

  #normWeights(name: string, { channels }: GroupNormSpec): [weight: Value, bias: Value] {
    return [this.parameter(`${name}.weight`, [channels]), this.parameter(`${name}.bias`, [channels])];
  }

  #reserveNorm(x: Value, name: string, spec: GroupNormSpec): PatchNormSpec {
    const { role, slots } = this.context;
    const { statistics } = this.#mode;
    const bytes = () => this.kernels.statisticBytes * (x.shape[0] as number) * spec.groups;
    const age: SlotAge =
      statistics === 'fresh' ? 'fresh' : statistics === 'separate' ? 'warm_up' : 'displaced';
    return {
      ...spec,
      slot: slots.add({ name, kind: 'statistics', age, bytes, reads: readWhole(this.#peers, bytes) }),
      peers: role.patchGroup,
      index: role.patch,
      statistics,
    };
  }

  /** For an attention to the keys and values of so many tokens of each band. */
  #reserveTokens(tokens: readonly number[], key: Value, name: string, heads: number) {
    const { role, slots } = this.context;
    const [batch, , features] = key.shape as [number, number, number];
    const bytes = this.inGroup(
      (band) => 2 * itemBytes[key.dtype] * batch * (tokens[band] as number) * features,
    );
    const reads = readWhole(this.#peers, bytes);
    return {
      heads,
      slot: slots.add({ name, kind: 'keys_values', age: this.#age, bytes, reads }),
      peers: role.patchGroup,
      index: role.patch,
      tokens,
      fresh: this.#fresh,
    };
  }

  readonly #peers = (rank: number) => this.roleOf(rank).patchGroup;

  get #fresh(): boolean {
    return this.#mode.reads === 'same';
  }

  get #age(): SlotAge {
    return this.#fresh ? 'fresh' : 'displaced';
  }
}

/** What the operators are told of a step; `firstTick` is the tick of the image's step 0. */
function displacedStep(call: number, firstTick: number, { warmupSteps, syncMode }: DisplacedOptions): Step {
  const tick = firstTick + call;
  if (call <= warmupSteps) return synchronousStep(call, firstTick);
  if (syncModes[syncMode].reads === 'last_synchronous') {
    return { call, tick, readTick: firstTick + warmupSteps, publish: false };
  }
  return { call, tick, readTick: tick - 1, publish: true };
}
