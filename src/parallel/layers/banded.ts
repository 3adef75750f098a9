import { DistriError } from '../../base/errors.js';
import { splitEvenly } from '../../base/split.js';
import type { WeightSource } from '../../checkpoint/weights.js';
import type { Kernels, Padding } from '../../graph/kernels/kernels.js';
import { Bands, type Region, tokensOf } from '../../graph/region.js';
import type { Value } from '../../graph/value.js';
import { type Area, gatherParts } from '../gather-parts.js';
import type { SlotReserver } from '../slots.js';
import type { RankRole, Topology } from '../topology.js';
import type { ConvSpec } from './image.js';
import { SingleDevice } from './single-device.js';
import type { PatchEmbedSpec, PatchGrid, PatchSpec } from './tokens.js';

/** A rank among those that have a band of rows each. */
export interface BandContext {
  readonly topology: Topology;
  readonly role: RankRole;
  /** Rows of the whole image at the largest level. */
  readonly bands: Bands;
  readonly slots: SlotReserver;
}

/**
 * Layers on a rank's band of rows: what of the whole image is cut out and put together again, and which band
 * a value is. What looks beyond a band in between is for strategies to say.
 */
export class BandedLayers extends SingleDevice {
  protected readonly context: BandContext;

  constructor(kernels: Kernels, weights: WeightSource, context: BandContext) {
    super(kernels, weights);
    this.context = context;
  }

  /**
   * Every rank has the whole latents, so its rows and the one above and below are cut out of them: exact at
   * every step.
   */
  override convIn(x: Value, name: string, spec: ConvSpec): Value {
    const { bands, role } = this.context;
    if (this.alone) return super.convIn(x, name, spec);
    const halo = (spec.kernel - 1) / 2;
    const [start, end] = [bands.start(role.patch) - halo, bands.start(role.patch + 1) + halo];
    const [top, bottom] = [Math.max(start, 0), Math.min(end, bands.total)];
    const own = this.kernels.slice(`${name}/rows`, x, 2, top, bottom);
    const padding: Padding = [top - start, halo, end - bottom, halo];
    return this.inRegion(this.convolve(own, name, spec, padding), bands);
  }

  override gatherOutput(x: Value, name: string): Value {
    const { topology, role, slots } = this.context;
    if (topology.worldSize === 1) return x;
    const columns = x.shape[3] as number;
    const bands = this.alone ? new Bands([0, x.shape[2] as number]) : this.regionOf(x).bands;
    return gatherParts(this.kernels, slots, x, name, {
      topology,
      role,
      participantsOf: () => topology.roles,
      areaOf: ({ patch }) => ({ row: bands.start(patch), rows: bands.rows(patch), column: 0, columns }),
      size: { rows: bands.total, columns },
    });
  }

  /**
   * A band enlarged is the band of the level above, which `like` (or, without it, exactly twice the rows)
   * tells.
   */
  override upsample(x: Value, name: string, like: Value | undefined): Value {
    const enlarged = super.upsample(x, name, like);
    if (this.alone) return enlarged;
    if (like) return this.kernels.graph.withRegion(enlarged, like.region);
    return this.inRegion(enlarged, this.regionOf(x).bands.doubled());
  }

  override patchEmbed(x: Value, name: string, spec: PatchEmbedSpec): Value {
    return this.#tokensOf(spec.grid, super.patchEmbed(x, name, spec));
  }

  override patchify(x: Value, name: string, spec: PatchSpec): Value {
    return this.#tokensOf(spec.grid, super.patchify(x, name, spec));
  }

  #tokensOf({ columns, patchSize }: PatchGrid, tokens: Value): Value {
    if (this.alone) return tokens;
    const bands = this.context.bands.inUnitsOf(patchSize);
    return this.kernels.graph.withRegion(tokens, { bands, columns, before: 0 });
  }

  /** A text is shared out as the rows of the picture are. */
  override ownText(text: Value, name: string): Value {
    if (this.alone) return text;
    const cuts = this.#textCuts(text.shape[1] as number);
    const { patch } = this.context.role;
    return this.kernels.slice(`${name}/own`, text, 1, cuts[patch] as number, cuts[patch + 1] as number);
  }

  /** Tokens of each band with its part of the text. */
  protected jointTokens(x: Value, wholeText: number): number[] {
    const cuts = this.#textCuts(wholeText);
    return tokensOf(this.regionOf(x)).map(
      (tokens, band) => tokens + (cuts[band + 1] as number) - (cuts[band] as number),
    );
  }

  #textCuts(tokens: number): number[] {
    const { patches } = this.context.topology;
    if (tokens >= patches) return splitEvenly(tokens, patches);
    throw new DistriError(
      'usage',
      `a text of ${tokens} tokens can't be shared out to ${patches} ranks; at most ${tokens} would work`,
    );
  }

  override joinText(text: Value, image: Value, name: string): Value {
    const joined = super.joinText(text, image, name);
    if (this.alone) return joined;
    const before = text.shape[1] as number;
    return this.kernels.graph.withRegion(joined, { ...this.regionOf(image), before });
  }

  override splitText(joined: Value, textTokens: number, name: string): [text: Value, image: Value] {
    const [text, image] = super.splitText(joined, textTokens, name);
    if (this.alone) return [text, image];
    const { graph } = this.kernels;
    const region = { ...this.regionOf(joined), before: 0 };
    return [graph.withRegion(text, undefined), graph.withRegion(image, region)];
  }

  override unpatchify(x: Value, name: string, spec: PatchSpec): Value {
    const image = super.unpatchify(x, name, spec);
    return this.alone ? image : this.inRegion(image, this.context.bands);
  }

  /** The band in rows of tokens. */
  protected override gridArea({ rows, columns, patchSize }: PatchGrid): Area {
    if (this.alone) return { row: 0, rows, column: 0, columns };
    const { patch } = this.context.role;
    const bands = this.context.bands.inUnitsOf(patchSize);
    return { row: bands.start(patch), rows: bands.rows(patch), column: 0, columns };
  }

  /** A band per image: nothing below the output is exchanged. */
  protected get alone(): boolean {
    return this.context.topology.patches === 1;
  }

  protected regionOf(x: Value): Region {
    if (x.region) return x.region;
    throw new Error(`${x.name} does not come from convIn or patchEmbed, so its rows are unknown`);
  }

  /** An image as this rank's one of `bands`. */
  protected inRegion(image: Value, bands: Bands): Value {
    const columns = image.shape[3] as number;
    return this.kernels.graph.withRegion(image, { bands, columns, before: 0 });
  }

  /** Slot sizes by band; ranks of another batch half have the same bands and exchange among themselves. */
  protected inGroup(bytes: (band: number) => number): (rank: number) => number {
    return (rank) => bytes(this.roleOf(rank).patch);
  }

  protected roleOf(rank: number): RankRole {
    return this.context.topology.roles[rank] as RankRole;
  }
}
