import type { RawConfig } from '../../base/config-reader.js';
import type { GridSize } from '../../base/sizes.js';
import type { WeightSource } from '../../checkpoint/weights.js';
import type { Communicator } from '../../engine/addon.js';
import type { Device } from '../../engine/device.js';
import type { NoiseModel } from '../../models/noise-model.js';
import type { ParallelOptions } from '../../parallel/registry.js';
import type { RankRole, Topology } from '../../parallel/topology.js';
import type { ProgressListener } from '../../ranks/progress.js';
import type { RankContext } from '../../ranks/rank-context.js';
import type { Generator } from '../../tensor/generator.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { LoadOptions } from '../load-options.js';
import type { GenerationRequest } from '../request.js';
import type { Recorder } from './recorder.js';

/** Where a loop runs and what it is made of. */
export interface LoopOptions {
  readonly device: Device;
  readonly model: NoiseModel;
  readonly weights: WeightSource;
  /** scheduler_config.json. */
  readonly scheduler: RawConfig;
  readonly load: Pick<LoadOptions, 'threads' | 'weights' | 'profile'>;
  readonly ranks: RankContext;
  readonly topology: Topology;
  readonly parallel: ParallelOptions;
  readonly latent: GridSize;
  readonly textTokens: number;
  /** Pictures of a request. */
  readonly images: number;
}

/**
 * What a request begins with instead of noise: a sample of a picture's latents `[1, …]`, the same on all
 * ranks.
 */
export type ImageEncoder = (generator: Generator) => Promise<Tensor<'float32'>>;

/** Noise to latents on all ranks, however they share the work. */
export interface LatentLoop {
  readonly topology: Topology;
  /** This rank's. */
  readonly role: RankRole;
  readonly communicator: Communicator | undefined;
  /**
   * Tells the model what all steps of a request share: its inputs by name, of this rank's rows of the batch.
   */
  begin(given: Readonly<Record<string, Tensor>>): Promise<void>;
  /**
   * All steps of the request that was begun, which are its phase `denoise`; returns its latents
   * `[images, channels, rows, columns]`.
   */
  run(
    request: GenerationRequest,
    listener: ProgressListener,
    record: Recorder,
    encodeImage?: ImageEncoder,
  ): Promise<Tensor<'float32'>>;
  release(): void;
}
