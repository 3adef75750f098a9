import type { Shape, Tensor } from './tensor.js';

/** A source of random tensors. Successive calls continue one sequence, as with a `torch.Generator`. */
export interface Generator {
  /** Uniform in [0, 1). */
  rand(shape: Shape): Tensor<'float32'>;
  /** Normal with mean 0 and variance 1. */
  randn(shape: Shape): Tensor<'float32'>;
}
