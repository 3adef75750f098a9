import type { WeightSource } from '../checkpoint/weights.js';
import type { Kernels } from '../graph/kernels.js';
import type { Step } from '../native/addon.js';
import { planTopology, type RankRole } from '../runtime/topology.js';
import { DisplacedPatch } from './displaced-patch.js';
import type { Layers } from './layers.js';
import { synchronousStep } from './parallelism.js';
import { planBands, smallestRows } from './row-bands.js';
import { SingleDevice } from './single-device.js';
import type { SlotTable } from './slots.js';

/** A rank among others. */
export interface RankPlace {
  readonly rank: number;
  readonly worldSize: number;
}

/**
 * Patch parallelism for a model that runs once per picture, such as a VAE: each rank has a band of rows, and all that is exchanged is of this
 * run. The layers are those of displaced patches in their synchronous mode. Where there are more ranks than rows at the model's smallest
 * level, the first ranks do the work.
 */
export class SynchronousPatch {
  /** How many ranks take part: ranks 0 to `ranks - 1`. */
  readonly ranks: number;
  /** Whether this rank is one of them. The others build the graph as the last of them, for the slots. */
  readonly takesPart: boolean;
  readonly #layers: (kernels: Kernels, weights: WeightSource) => Layers;
  #runs = 0;

  /** `rows` of the model's input, which it halves `halvings` times. Slots are reserved when the layers are used. */
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
    const context = { topology, role, options: { syncMode: 'full_sync' } } as const;
    const reserver = slots.amongFirst(this.ranks);
    this.#layers = (kernels, weights) =>
      this.ranks === 1
        ? new SingleDevice(kernels, weights)
        : new DisplacedPatch(kernels, weights, context, reserver, bands);
  }

  layers(kernels: Kernels, weights: WeightSource): Layers {
    return this.#layers(kernels, weights);
  }

  /** What the operators are told of the next run. */
  nextStep(): Step {
    return synchronousStep(0, this.#runs++);
  }
}
