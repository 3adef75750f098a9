import type { Kernels } from '../graph/kernels/kernels.js';
import type { Value } from '../graph/value.js';
import type { Layers } from '../parallel/layers/layers.js';
import { float32 } from '../tensor/tensor.js';

/**
 * Numbers to waves: x `[n]` -> `[n, width]`, cosines first when `flipSinToCos`. As diffusers'
 * get_timestep_embedding (scale 1, maximal period 10000), with its frequencies in float32, rounded where
 * torch rounds.
 */
export function sinusoidalEmbedding(
  kernels: Kernels,
  name: string,
  x: Value,
  width: number,
  { flipSinToCos, freqShift }: { flipSinToCos: boolean; freqShift: number },
): Value {
  const half = Math.floor(width / 2);
  const lowest = Math.fround(-Math.log(10000));
  const frequencies = Float32Array.from({ length: half }, (_, index) =>
    Math.exp(Math.fround(Math.fround(lowest * index) / (half - freqShift))),
  );
  const count = x.shape[0] as number;
  const column = kernels.reshape(`${name}/column`, x, [count, 1]);
  const table = kernels.graph.constant(`${name}/frequencies`, float32([1, half], frequencies));
  const angles = kernels.multiply(`${name}/angles`, column, table);
  const waves = [kernels.sine(`${name}/sin`, angles), kernels.cosine(`${name}/cos`, angles)];
  return kernels.concat(name, flipSinToCos ? waves.toReversed() : waves, -1);
}

/**
 * x `[n, inFeatures]` -> `[n, outFeatures]` through `name.linear_1`, SiLU and `name.linear_2`, as diffusers'
 * TimestepEmbedding.
 */
export function timestepEmbedding(
  layers: Layers,
  x: Value,
  name: string,
  inFeatures: number,
  outFeatures: number,
): Value {
  const first = layers.linear(x, `${name}.linear_1`, { inFeatures, outFeatures, bias: true });
  const active = layers.activation(first, `${name}.act`, 'silu');
  return layers.linear(active, `${name}.linear_2`, { inFeatures: outFeatures, outFeatures, bias: true });
}
