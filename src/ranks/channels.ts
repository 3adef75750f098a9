import type { SlotSpec } from '../engine/addon.js';

/**
 * What ranks talk over apart from each other. Each channel has shared memory of its own and one communicator
 * at a time, so what uses one can be loaded again while the others stay.
 */
export const channels = ['denoiser', 'vae'] as const;

export type Channel = (typeof channels)[number];

/** Slots of these sizes, `[slot][rank]`, which all other ranks read. */
export function readByAll(bytes: readonly (readonly number[])[]): SlotSpec[] {
  const ranks = [...(bytes[0] ?? []).keys()];
  const readers = ranks.map((rank) => ranks.filter((other) => other !== rank));
  return bytes.map((sizes, slot) => ({ name: `slot ${slot}`, bytes: sizes, readers }));
}
