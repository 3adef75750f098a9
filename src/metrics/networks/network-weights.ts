import type { Tensor } from '../../tensor/tensor.js';

/** Weights of a network by the names that the network gives them. */
export interface NetworkWeights {
  /** Whether there is such a tensor. */
  has(name: string): boolean;
  /** The float32 tensor `name`, which has been checked to have this shape. */
  read(name: string): Promise<Tensor<'float32'>>;
}
