import type { GridSize } from '../base/sizes.js';
import type { Value } from '../graph/value.js';
import type { Layers } from '../parallel/layers/layers.js';
import type { BlockStructure } from '../parallel/strategy.js';
import type { ScheduleOptions } from '../schedulers/scheduler.js';
import type { Tensor } from '../tensor/tensor.js';

/** The latents of one request, as every rank holds them. */
export interface LatentShape {
  /** Images in this rank's batch, guidance included. */
  readonly batch: number;
  /** Size of the whole latents. */
  readonly rows: number;
  readonly columns: number;
  readonly textTokens: number;
}

/** Names of the inputs that change at every step. */
export interface StepInputs {
  /** `[batch, channels, rows, columns]`. */
  readonly sample: string;
  /** `[1]`. */
  readonly timestep: string;
}

/** A model that predicts noise, as far as denoising loops know it. */
export interface NoiseModel {
  /** The folder of its weights. */
  readonly component: string;
  readonly inChannels: number;
  /** How often it halves rows and columns. */
  readonly halvings: number;
  /** Of transformers. */
  readonly blocks?: BlockStructure;
  readonly inputs: StepInputs;
  /** What its pipeline tells the scheduler; nothing where absent. */
  readonly schedule?: (steps: number, latent: GridSize) => ScheduleOptions;
  /** What becomes of a scheduler's timestep on its way into the model; nothing where absent. */
  readonly timestepInput?: (timestep: number) => number;
  /**
   * Latents and predictions as its pipeline in diffusers has them between steps, for traces; as they are
   * where absent.
   */
  readonly packed?: (images: Tensor<'float32'>) => Tensor<'float32'>;
  /**
   * Adds the model to the graph; what it is told besides `inputs` is the same at every step. Returns the
   * prediction.
   */
  build(layers: Layers, shape: LatentShape): Value;
}
