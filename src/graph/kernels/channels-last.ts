import type { Value } from '../value.js';
import { Kernels } from './kernels.js';
import type { NormSpec } from './norm.js';

/**
 * Kernels with the rounding that a picture meets in diffusers. It reaches torch's VAE with channels last, for
 * which torch's GroupNorm adds up each channel one number after the other in float32: of 256 x 256 pixels,
 * the posterior's mean is 2.6e-4 of its largest number from that in double precision. To begin with the same
 * latents as diffusers, the picture's norms are rounded alike.
 */
export class ChannelsLastKernels extends Kernels {
  override groupNorm(name: string, x: Value, weight: Value, bias: Value, spec: NormSpec): Value {
    return this.groupNormWithSums(name, x, weight, bias, spec, 'channels_last');
  }
}
