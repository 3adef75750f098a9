import type { WeightSource } from '../../checkpoint/weights.js';
import type { Step } from '../../engine/addon.js';
import { float, int, ints, type Value } from '../../graph/graph.js';
import { activationCode, type Kernels, type Padding } from '../../graph/kernels/kernels.js';
import type { SyncMode } from '../../pipelines/request.js';
import { gridBands, planBands, RowBands } from '../bands.js';
import { type Area, gatherParts } from '../gather-parts.js';
import type { AttentionSpec, ConvSpec, GroupNormSpec, PatchEmbedSpec, PatchGrid } from '../layers/layers.js';
import { type SlotReserver, SlotTable } from '../slots.js';
import { describeRange, type Parallelism, type ParallelismContext, synchronousStep } from '../strategy.js';
import type { RankRole } from '../topology.js';
import { SingleDevice } from './single-device.js';

/** Codes of PatchGroupNorm's attribute `statistics`. */
const statisticsCode: Readonly<Record<SyncMode, number>> = {
  full_sync: 0,
  sync_gn: 0,
  stale_gn: 1,
  corrected_async_gn: 2,
  separate_gn: 3,
  no_sync: 3,
};

const bytesPerFloat = 4;
/** Sum, sum of squares and count of a group, as doubles. */
const bytesPerStatistic = 3 * 8;

/**
 * Displaced patch parallelism (DistriFusion, CVPR 2024): each rank has a band of rows; what a layer needs of other bands is, after the
 * synchronous steps, that of the step before. Matches distrifuser's modules/pp (conv2d.py, attn.py, groupnorm.py)
 * with its Bessel factor left out and bands of any size.
 */
export function displacedPatch(context: ParallelismContext): Parallelism {
  const { topology, options, rows, halvings, patchSize } = context;
  const bands =
    patchSize === undefined
      ? planBands(rows, halvings, topology.patches)
      : gridBands(rows, patchSize, topology.patches);
  const slots = new SlotTable(topology.worldSize);
  return {
    variants: 1,
    layers: (_variant, kernels, weights) => new DisplacedPatch(kernels, weights, context, slots, bands),
    variantOf: () => 0,
    describe: ({ patch }) => describeRange('latent rows', bands.start(patch), bands.rows(patch), bands.total),
    step: (call, firstTick) => displacedStep(call, firstTick, options.warmupSteps, options.syncMode),
    slots,
  };
}

/** Who exchanges with whom, and what of it may be stale. */
export type PatchContext = Pick<ParallelismContext, 'topology' | 'role'> & {
  readonly options: Pick<ParallelismContext['options'], 'syncMode'>;
};

/** Layers on a rank's band of rows. */
export class DisplacedPatch extends SingleDevice {
  readonly #context: PatchContext;
  readonly #slots: SlotReserver;
  /** Rows of the whole image at the largest level. */
  readonly #bands: RowBands;

  constructor(
    kernels: Kernels,
    weights: WeightSource,
    context: PatchContext,
    slots: SlotReserver,
    bands: RowBands,
  ) {
    super(kernels, weights);
    this.#context = context;
    this.#slots = slots;
    this.#bands = bands;
  }

  /** Every rank has the whole latents, so its rows and the one above and below are cut out of them: exact at every step. */
  override convIn(x: Value, name: string, spec: ConvSpec): Value {
    const bands = this.#bands;
    const { role } = this.#context;
    if (this.#alone) return super.convIn(x, name, spec);
    const halo = (spec.kernel - 1) / 2;
    const [start, end] = [bands.start(role.patch) - halo, bands.start(role.patch + 1) + halo];
    const [top, bottom] = [Math.max(start, 0), Math.min(end, bands.total)];
    const own = this.kernels.slice(`${name}/rows`, x, 2, top, bottom);
    const padding: Padding = [top - start, halo, end - bottom, halo];
    return this.kernels.graph.withRegion(this.convolve(own, name, spec, padding), bands);
  }

  override conv2d(x: Value, name: string, spec: ConvSpec): Value {
    if (this.#alone || spec.kernel === 1) return super.conv2d(x, name, spec);
    if (spec.zeros === 'after') throw new Error(`${name}: zeros after the image are of VAEs only`);
    const result = this.convolve(this.#withHalo(x, name), name, spec, [0, 1, 0, 1]);
    return spec.stride === 2 ? this.kernels.graph.withRegion(result, this.bandsOf(x).halved()) : result;
  }

  override gatherOutput(x: Value, name: string): Value {
    const { topology, role } = this.#context;
    if (topology.worldSize === 1) return x;
    const columns = x.shape[3] as number;
    const bands = this.#alone ? new RowBands([0, x.shape[2] as number]) : this.bandsOf(x);
    return gatherParts(this.kernels, this.#slots, x, name, {
      topology,
      role,
      participants: topology.roles,
      areaOf: ({ patch }) => ({ row: bands.start(patch), rows: bands.rows(patch), column: 0, columns }),
      size: { rows: bands.total, columns },
    });
  }

  override groupNorm(x: Value, name: string, spec: GroupNormSpec): Value {
    if (this.#alone) return super.groupNorm(x, name, spec);
    return this.kernels.graph.node(
      {
        op: 'PatchGroupNorm',
        domain: 'distri',
        name,
        inputs: this.#normInputs(x, name, spec),
        attributes: this.#normAttributes(x, name, spec),
      },
      x.shape,
    );
  }

  /** The norm writes its band between the neighbours' rows, where the convolution reads it. */
  override normedConv2d(
    x: Value,
    normName: string,
    norm: GroupNormSpec,
    convName: string,
    conv: ConvSpec,
  ): Value {
    if (this.#alone) return super.normedConv2d(x, normName, norm, convName, conv);
    const [batch, channels, rows, columns] = x.shape as [number, number, number, number];
    const { slot, ...halo } = this.haloAttributes(x, convName);
    const band = this.kernels.graph.node(
      {
        op: 'PatchGroupNormHalo',
        domain: 'distri',
        name: normName,
        inputs: this.#normInputs(x, normName, norm),
        attributes: { ...this.#normAttributes(x, normName, norm), ...halo, halo_slot: slot },
      },
      [batch, channels, rows + 2, columns],
    );
    return this.convolve(band, convName, conv, [0, 1, 0, 1]);
  }

  /** A band enlarged is the band of the level above, which `like` (or, without it, exactly twice the rows) tells. */
  override upsample(x: Value, name: string, like: Value | undefined): Value {
    const enlarged = super.upsample(x, name, like);
    if (this.#alone) return enlarged;
    return this.kernels.graph.withRegion(enlarged, like?.region ?? this.bandsOf(x).doubled());
  }

  override selfAttention(x: Value, name: string, spec: AttentionSpec): Value {
    if (this.#alone) return super.selfAttention(x, name, spec);
    const [key, value] = this.keysAndValues(x, name, spec);
    const exchange = this.#tokenAttributes(x, key, name);
    return this.attend(x, name, spec, (query, mixed) =>
      this.kernels.patchAttention(mixed, query, key, value, spec.heads, exchange),
    );
  }

  override patchEmbed(x: Value, name: string, spec: PatchEmbedSpec): Value {
    const tokens = super.patchEmbed(x, name, spec);
    if (this.#alone) return tokens;
    return this.kernels.graph.withRegion(tokens, this.#bands.inUnitsOf(spec.grid.patchSize));
  }

  override unpatchify(x: Value, name: string, spec: { grid: PatchGrid; channels: number }): Value {
    const image = super.unpatchify(x, name, spec);
    return this.#alone ? image : this.kernels.graph.withRegion(image, this.#bands);
  }

  /** The band in rows of tokens. */
  protected override gridArea({ rows, columns, patchSize }: PatchGrid): Area {
    if (this.#alone) return { row: 0, rows, column: 0, columns };
    const { patch } = this.#context.role;
    const bands = this.#bands.inUnitsOf(patchSize);
    return { row: bands.start(patch), rows: bands.rows(patch), column: 0, columns };
  }

  /** A band per image: nothing below the output is exchanged. */
  get #alone(): boolean {
    return this.#context.topology.patches === 1;
  }

  protected bandsOf(x: Value): RowBands {
    if (x.region instanceof RowBands) return x.region;
    throw new Error(`${x.name} does not come from convIn or patchEmbed, so its rows are unknown`);
  }

  get #fresh(): number {
    return this.#context.options.syncMode === 'full_sync' ? 1 : 0;
  }

  /** Slot sizes by band; ranks of another batch half have the same bands and exchange among themselves. */
  #inGroup(bytes: (band: number) => number): (rank: number) => number {
    return (rank) => bytes((this.#context.topology.roles[rank] as RankRole).patch);
  }

  #normInputs(x: Value, name: string, { channels }: GroupNormSpec): readonly Value[] {
    return [x, this.parameter(`${name}.weight`, [channels]), this.parameter(`${name}.bias`, [channels])];
  }

  #normAttributes(x: Value, name: string, spec: GroupNormSpec) {
    const { role, options } = this.#context;
    const batch = x.shape[0] as number;
    const bytes = bytesPerStatistic * batch * spec.groups;
    return {
      groups: int(spec.groups),
      epsilon: float(spec.epsilon),
      activation: int(activationCode(spec.activation)),
      slot: int(
        this.#slots.add(
          name,
          this.#inGroup(() => bytes),
        ),
      ),
      peers: ints(role.patchGroup),
      index: int(role.patch),
      statistics: int(statisticsCode[options.syncMode]),
    };
  }

  #withHalo(x: Value, name: string): Value {
    const [batch, channels, rows, columns] = x.shape as [number, number, number, number];
    return this.kernels.graph.node(
      {
        op: 'HaloExchange',
        domain: 'distri',
        name: `${name}.halo`,
        inputs: [x],
        attributes: this.haloAttributes(x, name),
      },
      [batch, channels, rows + 2, columns],
    );
  }

  /** Of operators that exchange rows with the bands above and below. */
  protected haloAttributes(x: Value, name: string) {
    const { role } = this.#context;
    const [batch, channels, , columns] = x.shape as [number, number, number, number];
    const bytes = 2 * bytesPerFloat * batch * channels * columns;
    return {
      slot: int(
        this.#slots.add(
          name,
          this.#inGroup(() => bytes),
        ),
      ),
      above: int(role.patchGroup[role.patch - 1] ?? -1),
      below: int(role.patchGroup[role.patch + 1] ?? -1),
      fresh: int(this.#fresh),
    };
  }

  #tokenAttributes(x: Value, key: Value, name: string) {
    const { role } = this.#context;
    const [batch, tokens, features] = key.shape as [number, number, number];
    const bands = this.bandsOf(x);
    const columns = tokens / bands.rows(role.patch);
    const bytes = (band: number) => 2 * bytesPerFloat * batch * bands.rows(band) * columns * features;
    return {
      slot: int(this.#slots.add(name, this.#inGroup(bytes))),
      peers: ints(role.patchGroup),
      index: int(role.patch),
      tokens: ints(bands.counts.map((rows) => rows * columns)),
      fresh: int(this.#fresh),
    };
  }
}

/**
 * What the operators are told of a step: synchronous while `call <= warmupSteps`, so `warmupSteps + 1` times; then one step behind,
 * or, with `no_sync`, for ever at the last synchronous step. `firstTick` is the tick of the image's step 0.
 */
function displacedStep(call: number, firstTick: number, warmupSteps: number, mode: SyncMode): Step {
  const tick = firstTick + call;
  if (call <= warmupSteps) return synchronousStep(call, firstTick);
  if (mode === 'no_sync') return { call, tick, readTick: firstTick + warmupSteps, publish: false };
  return { call, tick, readTick: tick - 1, publish: true };
}
