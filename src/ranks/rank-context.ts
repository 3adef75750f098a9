import type { Communicator } from '../engine/addon.js';

/** What a rank process knows of its place among the ranks. */
export interface RankContext {
  readonly rank: number;
  readonly worldSize: number;
  /**
   * Makes the next communicator over the run's shared memory and meets the peers. All ranks call it equally often, with the same
   * `slotBytes[slot][rank]`; a communicator is closed before the next one is made.
   */
  connect(slotBytes: readonly (readonly number[])[]): Promise<Communicator>;
}
