import type { WeightSource } from '../../checkpoint/weights.js';
import type { Step } from '../../engine/addon.js';
import type { Kernels, Padding } from '../../graph/kernels/kernels.js';
import type { Value } from '../../graph/value.js';
import type { ConvSpec, GroupNormSpec } from '../layers/image.js';
import type { Layers } from '../layers/layers.js';
import { SingleDevice } from '../layers/single-device.js';
import { planBands, smallestRows } from '../plan-bands.js';
import type { SlotTable } from '../slots.js';
import { synchronousStep } from '../strategy.js';
import { planTopology, type RankRole } from '../topology.js';
import { DisplacedPatch } from './displaced-patch.js';

/** A rank among others. */
export interface RankPlace {
  readonly rank: number;
  readonly worldSize: number;
}

/**
 * Patch parallelism for a model that runs once per picture, such as a VAE: each rank has a band of rows, and
 * all that is exchanged is of this run. The layers are those of displaced patches in their synchronous mode.
 * Where there are more ranks than rows at the model's smallest level, the first ranks do the work.
 */
export class SynchronousPatch {
  /** How many ranks take part: ranks 0 to `ranks - 1`. */
  readonly ranks: number;
  /** Whether this rank is one of them. The others build the graph as the last of them, for the slots. */
  readonly takesPart: boolean;
  readonly #layers: (kernels: Kernels, weights: WeightSource) => Layers;
  #runs = 0;

  /**
   * `rows` of the model's input, which it halves `halvings` times. Slots are reserved when the layers are
   * used.
   */
  constructor(
    { rank, worldSize }: RankPlace,
    { rows, halvings }: { readonly rows: number; readonly halvings: number },
    slots: SlotTable,
  ) {
    this.ranks = Math.min(worldSize, smallestRows(rows, halvings));
    this.takesPart = rank < this.ranks;
    const topology = planTopology({ worldSize: this.ranks, guided: false, splitBatch: false });
    const role = topology.roles[Math.min(rank, this.ranks - 1)] as RankRole;
    const bands = planBands(rows, halvings, this.ranks);
    const context = { topology, role, bands, slots: slots.amongFirst(this.ranks) };
    this.#layers = (kernels, weights) => {
      if (this.ranks === 1) return new SingleDevice(kernels, weights);
      const Bands = kernels.framesImages ? DisplacedPatch : SynchronousBands;
      return new Bands(kernels, weights, context, 'full_sync');
    };
  }

  layers(kernels: Kernels, weights: WeightSource): Layers {
    return this.#layers(kernels, weights);
  }

  /** What the operators are told of the next run. */
  nextStep(): Step {
    return synchronousStep(0, this.#runs++);
  }
}

/**
 * For devices without frames around images: layers whose results take no more than a band, where displaced
 * patches put every band between rows of its neighbours: a 3x3 convolution takes the band as if the image
 * ended there, and the first and last row of its result are then computed from three rows each.
 */
class SynchronousBands extends DisplacedPatch {
  override conv2d(x: Value, name: string, spec: ConvSpec): Value {
    const after = spec.zeros === 'after';
    if (spec.kernel === 1 || (spec.stride === 2 && !after)) return super.conv2d(x, name, spec);
    const before = after ? 0 : 1;
    const band = this.#convolve(`${name}/band`, x, name, spec, [before, before, 1, 1]);
    const strips = this.kernels.exchange.haloStrips(`${name}.halo`, x, this.reserveHalo(x, name));
    const own = after ? this.kernels.slice(`${name}.halo/below`, strips, 2, 3, 6) : strips;
    const rows = this.#convolve(`${name}/rows`, own, name, spec, [0, before, 0, 1]);
    const last = (rows.shape[2] as number) - 1;
    const result = this.kernels.exchange.replaceRows(name, band, rows, after ? -1 : 0, last);
    return after ? this.inRegion(result, this.regionOf(x).bands.halved()) : result;
  }

  /** The norm may write over its input. */
  override normedConv2d(
    x: Value,
    normName: string,
    norm: GroupNormSpec,
    convName: string,
    conv: ConvSpec,
  ): Value {
    return this.conv2d(this.groupNorm(x, normName, norm), convName, conv);
  }

  #convolve(node: string, x: Value, name: string, spec: ConvSpec, padding: Padding): Value {
    const { inChannels, outChannels, kernel, stride = 1 } = spec;
    const weight = this.parameter(`${name}.weight`, [outChannels, inChannels, kernel, kernel]);
    const bias = this.parameter(`${name}.bias`, [outChannels]);
    return this.kernels.conv2d(node, x, weight, bias, { stride, padding });
  }
}
