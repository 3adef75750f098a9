import type { Value } from '../graph/value.js';
import type { Layers } from '../parallel/layers/layers.js';
import type { BlockStructure } from '../parallel/strategy.js';

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
  /**
   * Adds the model to the graph; what it is told besides `inputs` is the same at every step. Returns the
   * prediction.
   */
  build(layers: Layers, shape: LatentShape): Value;
}
