import type { Communicator, SlotSpec } from '../engine/addon.js';
import type { NoteOnce } from '../engine/executable.js';
import type { Channel } from './channels.js';

/** What a rank process knows of its place among the ranks. */
export interface RankContext {
  readonly rank: number;
  readonly worldSize: number;
  /** Tells the user something, should no rank have said anything of this topic yet. */
  readonly noteOnce?: NoteOnce;
  /**
   * Makes the channel's next communicator and meets the peers there. All ranks call it equally often for each
   * channel, with the same slots. A communicator is closed before the next one of its channel is made; those
   * of other channels are not concerned.
   */
  connect(channel: Channel, slots: readonly SlotSpec[]): Promise<Communicator>;
}
