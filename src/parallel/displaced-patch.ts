import type { WeightSource } from '../checkpoint/weights.js';
import { float, int, ints, type Value } from '../graph/graph.js';
import { activationCode, type Kernels, type Padding } from '../graph/kernels.js';
import type { Step } from '../native/addon.js';
import type { SyncMode } from '../pipelines/request.js';
import type { RankRole, Topology } from '../runtime/topology.js';
import { splitRows } from '../runtime/topology.js';
import type { AttentionSpec, ConvSpec, GroupNormSpec } from './layers.js';
import { SingleDevice } from './single-device.js';
import { SlotTable } from './slots.js';

/**
 * Bands of whole rows at one level of the UNet: band p has rows `cuts[p]` to `cuts[p + 1]`.
 * A band of a lower level covers exactly the rows that its band of the level above becomes, so that convolutions of stride 2 and
 * upsampling stay inside a band but for a convolution's halo.
 */
export class RowBands {
  readonly cuts: readonly number[];

  constructor(cuts: readonly number[]) {
    this.cuts = cuts;
  }

  /**
   * Divides an image of `rows` rows for a model that halves them `halvings` times (rounding up): the rows of the smallest
   * level are shared out as evenly as they go, and every level above follows.
   */
  static plan(rows: number, halvings: number, bands: number): RowBands {
    if (halvings === 0) return new RowBands(splitRows(rows, bands));
    const below = RowBands.plan(Math.ceil(rows / 2), halvings - 1, bands);
    return new RowBands(below.cuts.map((cut) => Math.min(2 * cut, rows)));
  }

  /** The bands after a convolution of stride 2. */
  halved(): RowBands {
    return new RowBands(this.cuts.map((cut) => Math.ceil(cut / 2)));
  }

  /** The bands of an image of twice the rows. */
  doubled(): RowBands {
    return new RowBands(this.cuts.map((cut) => 2 * cut));
  }

  start(band: number): number {
    return this.cuts[band] as number;
  }

  rows(band: number): number {
    return (this.cuts[band + 1] as number) - this.start(band);
  }

  get counts(): number[] {
    return this.cuts.slice(1).map((_, band) => this.rows(band));
  }

  get total(): number {
    return this.cuts.at(-1) as number;
  }
}

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

export interface DisplacedPatchOptions {
  readonly topology: Topology;
  readonly role: RankRole;
  readonly syncMode: SyncMode;
  /** Rows of the whole image at every level, see RowBands.plan. */
  readonly bands: RowBands;
}

/**
 * Displaced patch parallelism (DistriFusion, CVPR 2024): each rank has a band of rows; what a layer needs of other bands is, after the
 * synchronous steps, that of the step before. Matches distrifuser's modules/pp (conv2d.py, attn.py, groupnorm.py)
 * with its Bessel factor left out and bands of any size.
 */
export class DisplacedPatch extends SingleDevice {
  readonly slots: SlotTable;
  readonly #options: DisplacedPatchOptions;

  constructor(kernels: Kernels, weights: WeightSource, options: DisplacedPatchOptions) {
    super(kernels, weights);
    this.#options = options;
    this.slots = new SlotTable(options.topology.worldSize);
  }

  /** Every rank has the whole latents, so its rows and the one above and below are cut out of them: exact at every step. */
  override convIn(x: Value, name: string, spec: ConvSpec): Value {
    const { bands, role } = this.#options;
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
    const result = this.convolve(this.#withHalo(x, name), name, spec, [0, 1, 0, 1]);
    return spec.stride === 2 ? this.kernels.graph.withRegion(result, this.#bandsOf(x).halved()) : result;
  }

  override gatherOutput(x: Value, name: string): Value {
    const { topology, role } = this.#options;
    if (topology.worldSize === 1) return x;
    const [batch, channels, , columns] = x.shape as [number, number, number, number];
    const bands = this.#alone ? new RowBands([0, x.shape[2] as number]) : this.#bandsOf(x);
    const total = role.guidance === 'both' ? batch : 2 * batch;
    const slot = this.slots.add(name, (rank) => {
      const rows = bands.rows((topology.roles[rank] as RankRole).patch);
      return bytesPerFloat * batch * channels * rows * columns;
    });
    const perRank = (part: (role: RankRole) => number) => ints(topology.roles.map(part));
    const attributes = {
      slot: int(slot),
      ranks: perRank(({ rank }) => rank),
      batch_start: perRank(({ guidance }) => (guidance === 'conditional' ? batch : 0)),
      batch_count: perRank(() => batch),
      row_start: perRank(({ patch }) => bands.start(patch)),
      row_count: perRank(({ patch }) => bands.rows(patch)),
      batch: int(total),
      rows: int(bands.total),
    };
    const whole = this.kernels.graph.node(
      { op: 'GatherBands', domain: 'distri', name, inputs: [x], attributes },
      [total, channels, bands.total, columns],
    );
    return this.kernels.graph.withRegion(whole, undefined);
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
    const { slot, ...halo } = this.#haloAttributes(x, convName);
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
    return this.kernels.graph.withRegion(enlarged, like?.region ?? this.#bandsOf(x).doubled());
  }

  override selfAttention(x: Value, name: string, spec: AttentionSpec): Value {
    if (this.#alone) return super.selfAttention(x, name, spec);
    const [key, value] = this.keysAndValues(x, name, spec);
    const [allKeys, allValues] = this.#gatherTokens(x, key, value, name);
    return this.attend(x, allKeys, allValues, name, spec);
  }

  /** A band per image: nothing below the output is exchanged. */
  get #alone(): boolean {
    return this.#options.topology.patches === 1;
  }

  #bandsOf(x: Value): RowBands {
    if (x.region instanceof RowBands) return x.region;
    throw new Error(`${x.name} does not come from convIn, so its rows are unknown`);
  }

  get #fresh(): number {
    return this.#options.syncMode === 'full_sync' ? 1 : 0;
  }

  /** Slot sizes by band; ranks of another batch half have the same bands and exchange among themselves. */
  #inGroup(bytes: (band: number) => number): (rank: number) => number {
    return (rank) => bytes((this.#options.topology.roles[rank] as RankRole).patch);
  }

  #normInputs(x: Value, name: string, { channels }: GroupNormSpec): readonly Value[] {
    return [x, this.parameter(`${name}.weight`, [channels]), this.parameter(`${name}.bias`, [channels])];
  }

  #normAttributes(x: Value, name: string, spec: GroupNormSpec) {
    const { role, syncMode } = this.#options;
    const batch = x.shape[0] as number;
    const bytes = bytesPerStatistic * batch * spec.groups;
    return {
      groups: int(spec.groups),
      epsilon: float(spec.epsilon),
      activation: int(activationCode(spec.activation)),
      slot: int(
        this.slots.add(
          name,
          this.#inGroup(() => bytes),
        ),
      ),
      peers: ints(role.patchGroup),
      index: int(role.patch),
      statistics: int(statisticsCode[syncMode]),
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
        attributes: this.#haloAttributes(x, name),
      },
      [batch, channels, rows + 2, columns],
    );
  }

  #haloAttributes(x: Value, name: string) {
    const { role } = this.#options;
    const [batch, channels, , columns] = x.shape as [number, number, number, number];
    const bytes = 2 * bytesPerFloat * batch * channels * columns;
    return {
      slot: int(
        this.slots.add(
          name,
          this.#inGroup(() => bytes),
        ),
      ),
      above: int(role.patchGroup[role.patch - 1] ?? -1),
      below: int(role.patchGroup[role.patch + 1] ?? -1),
      fresh: int(this.#fresh),
    };
  }

  #gatherTokens(x: Value, key: Value, value: Value, name: string): [Value, Value] {
    const { role } = this.#options;
    const [batch, tokens, features] = key.shape as [number, number, number];
    const bands = this.#bandsOf(x);
    const columns = tokens / bands.rows(role.patch);
    const slot = this.slots.add(
      name,
      this.#inGroup((band) => 2 * bytesPerFloat * batch * bands.rows(band) * columns * features),
    );
    const shape = [batch, bands.total * columns, features];
    const [allKeys, allValues] = this.kernels.graph.nodes(
      {
        op: 'GatherTokens',
        domain: 'distri',
        name: `${name}.gather`,
        inputs: [key, value],
        attributes: {
          slot: int(slot),
          peers: ints(role.patchGroup),
          index: int(role.patch),
          tokens: ints(bands.counts.map((rows) => rows * columns)),
          fresh: int(this.#fresh),
        },
      },
      [
        { name: `${name}.gather/keys`, shape },
        { name: `${name}.gather/values`, shape },
      ],
    );
    return [allKeys as Value, allValues as Value];
  }
}

/**
 * What the operators are told of a step: synchronous while `call <= warmupSteps`, so `warmupSteps + 1` times; then one step behind,
 * or, with `no_sync`, for ever at the last synchronous step. `firstTick` is the tick of the image's step 0.
 */
export function displacedStep(call: number, firstTick: number, warmupSteps: number, mode: SyncMode): Step {
  const tick = firstTick + call;
  if (call <= warmupSteps) return { call, tick, readTick: tick, publish: true };
  if (mode === 'no_sync') return { call, tick, readTick: firstTick + warmupSteps, publish: false };
  return { call, tick, readTick: tick - 1, publish: true };
}
