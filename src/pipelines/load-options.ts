import type { DeviceChoice } from '../engine/device.js';
import type { ExecutableOptions } from '../engine/executable.js';
import type { WeightsMode } from '../machine/memory.js';
import type { RankContext } from '../ranks/rank-context.js';

/** How the ranks share the VAE's work; see docs/vae.md. */
export interface VaeSpread {
  /** Every rank has a band of rows; otherwise the first rank does it all. */
  readonly parallel: boolean;
  /** Side of tiles in pixels, for pictures that are larger; undefined for whole pictures. */
  readonly tilePixels: number | undefined;
}

/** The first rank does all that the VAE does, on whole pictures. */
export const firstRankVae: VaeSpread = { parallel: false, tilePixels: undefined };

/** How a model is loaded and on what; the same on all ranks. */
export interface LoadOptions {
  /** Name of the model's family. */
  readonly family: string;
  /** Folder in diffusers' layout. */
  readonly directory: string;
  /** Of the weight files, such as fp16; undefined for the only one there is. */
  readonly variant: string | undefined;
  /** The folder holds a noise model with random weights and nothing else. */
  readonly synthetic: boolean;
  /** What ranks compute on, and in which type. */
  readonly device: DeviceChoice;
  /** One copy in the page cache for all ranks, or a repacked one, which is faster, for each. */
  readonly weights: WeightsMode;
  /** Threads of each rank. */
  readonly threads: number;
  /** Who runs the VAE, on how much at a time. */
  readonly vae: VaeSpread;
  /**
   * Writes the engine's profile of the noise model's steps to files that begin so, when the pipeline is
   * closed.
   */
  readonly profile?: string | undefined;
}

/** How this rank loads a part that exchanges nothing. */
export function executableOptions(
  { threads, weights }: Pick<LoadOptions, 'threads' | 'weights'>,
  { rank, noteOnce }: Pick<RankContext, 'rank' | 'noteOnce'>,
): ExecutableOptions {
  return { threads, weights, rank, noteOnce, communicator: undefined };
}
