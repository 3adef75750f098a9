import { SlotTable } from '../../parallel/slots.js';
import type { RankPlace } from '../../parallel/strategies/synchronous-patch.js';
import type { VaeSpread } from '../load-options.js';

/** Which ranks run a VAE, and whether in tiles. */
export interface VaePlacement {
  /** This rank and those that it shares the work with. */
  readonly place: RankPlace;
  /** Where the graphs reserve what they exchange. */
  readonly slots: SlotTable;
  /** Side of tiles in pixels; undefined for the whole picture at once. */
  readonly tilePixels: number | undefined;
}

/** All on this rank. */
export function onlyRankPlacement(tilePixels?: number): VaePlacement {
  return { place: { rank: 0, worldSize: 1 }, slots: new SlotTable(1), tilePixels };
}

/** This rank's place in a VAE; undefined where it has none. `slots` are those of the communicator. */
export function placeVae(
  { parallel, tilePixels }: VaeSpread,
  { rank, worldSize }: RankPlace,
  slots: SlotTable,
): VaePlacement | undefined {
  if (parallel) return { place: { rank, worldSize }, slots, tilePixels };
  return rank === 0 ? onlyRankPlacement(tilePixels) : undefined;
}
