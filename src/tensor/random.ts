import type { RngName } from '../pipelines/request.js';
import { PhiloxGenerator } from './random-philox.js';
import { TorchGenerator } from './random-torch.js';
import type { Shape, Tensor } from './tensor.js';

/** A source of random tensors. Successive calls continue one sequence, as with a `torch.Generator`. */
export interface Generator {
  /** Uniform in [0, 1). */
  rand(shape: Shape): Tensor<'float32'>;
  /** Normal with mean 0 and variance 1. */
  randn(shape: Shape): Tensor<'float32'>;
}

export { PhiloxGenerator, TorchGenerator };

/** `cpu`: the numbers of `torch.Generator('cpu')`; `philox`: those of `torch.Generator('cuda')`. */
export function createGenerator(name: RngName, seed: bigint): Generator {
  return name === 'cpu' ? new TorchGenerator(seed) : new PhiloxGenerator(seed);
}
