import { expected } from '../base/errors.js';

/** Which images of the classifier-free guidance batch a rank computes. */
export type GuidancePart = 'both' | 'unconditional' | 'conditional';

/** What one rank does. */
export interface RankRole {
  /** From 0, within its group. */
  readonly rank: number;
  /** What it predicts of the guidance's batch. */
  readonly guidance: GuidancePart;
  /** Index of its band of rows, 0 = top. */
  readonly patch: number;
  /** Ranks that work on the same images, in patch order; this rank is `patchGroup[patch]`. */
  readonly patchGroup: readonly number[];
}

/** Who does what. */
export interface Topology {
  /** Ranks of a group, all of which work on the same pictures. */
  readonly worldSize: number;
  /** Whether each step predicts two images, with the prompt and without. */
  readonly guided: boolean;
  /** Whether these are predicted by different ranks. */
  readonly splitBatch: boolean;
  /** Bands per image. */
  readonly patches: number;
  /** By rank. */
  readonly roles: readonly RankRole[];
}

export interface TopologyOptions {
  readonly worldSize: number;
  /** Classifier-free guidance on (guidance_scale > 1). */
  readonly guided: boolean;
  /** Ask for the two images of the guidance batch to be computed by different ranks. */
  readonly splitBatch: boolean;
}

/**
 * Divides ranks as distrifuser's DistriConfig does: with a split batch the first half of the ranks computes
 * the unconditional and the second half the conditional prediction. Where it asserts a power of two, any
 * number works here; an odd number of ranks can't be halved, so the batch stays whole.
 */
export function planTopology(options: TopologyOptions): Topology {
  const { worldSize, guided } = options;
  if (!Number.isInteger(worldSize) || worldSize < 1)
    throw expected('a positive integer', 'the number of ranks', worldSize);
  const splitBatch = options.splitBatch && guided && worldSize % 2 === 0;
  const patches = splitBatch ? worldSize / 2 : worldSize;
  const roles = Array.from({ length: worldSize }, (_, rank): RankRole => {
    const first = rank < patches ? 0 : patches;
    return {
      rank,
      guidance: !splitBatch ? 'both' : first === 0 ? 'unconditional' : 'conditional',
      patch: rank - first,
      patchGroup: Array.from({ length: patches }, (_, index) => first + index),
    };
  });
  return { worldSize, guided, splitBatch, patches, roles };
}
