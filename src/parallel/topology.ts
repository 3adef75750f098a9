import { DistriError, expected } from '../base/errors.js';

/** Which images of the classifier-free guidance batch a rank computes. */
export type GuidancePart = 'both' | 'unconditional' | 'conditional';

/** What one rank does. */
export interface RankRole {
  readonly rank: number;
  readonly guidance: GuidancePart;
  /** Index of its band of rows, 0 = top. */
  readonly patch: number;
  /** Ranks that work on the same images, in patch order; this rank is `patchGroup[patch]`. */
  readonly patchGroup: readonly number[];
}

/** Who does what. */
export interface Topology {
  readonly worldSize: number;
  readonly guided: boolean;
  readonly splitBatch: boolean;
  /** Bands per image. */
  readonly patches: number;
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
 * Divides ranks as distrifuser's DistriConfig does: with a split batch the first half of the ranks computes the unconditional
 * and the second half the conditional prediction. Where it asserts a power of two, any number works here; an odd number of
 * ranks can't be halved, so the batch stays whole.
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

/** First index of each part and, last, the length: `[0, 4, 7, 10]` for 10 in 3 parts. Earlier parts are longer; some are empty if there are more parts than that. */
export function splitEvenly(length: number, parts: number): number[] {
  const least = Math.floor(length / parts);
  const longer = length % parts;
  return Array.from({ length: parts + 1 }, (_, part) => part * least + Math.min(part, longer));
}

/** First row of each part and, last, the number of rows: `[0, 11, 22, 32]` for 32 rows in 3 parts. Earlier parts get the odd rows. */
export function splitRows(rows: number, parts: number): number[] {
  if (parts > rows)
    throw new DistriError(
      'unsupported',
      `${rows} rows can't be divided into ${parts} parts; at most ${rows} would work`,
    );
  return splitEvenly(rows, parts);
}
