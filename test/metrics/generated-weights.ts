import { writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { convolutionShapes } from '../../src/metrics/networks/inception.js';
import { inceptionConvolutions } from '../../src/metrics/networks/inception-layers.js';
import { float32, type Shape } from '../../src/tensor/tensor.js';

/** FNV-1a, 32 bit. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'latin1')) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** A number in [0, 1) that depends on `seed` and `index` only (the finalizer of MurmurHash3). */
export function unitHash(seed: number, index: number): number {
  let x = (seed + Math.imul(index, 0x9e3779b9)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
}

/**
 * The weights that the expected features and distances were computed with: a function of a tensor's
 * torchvision name and shape.
 */
export function generatedWeight(name: string, shape: Shape): Float32Array {
  const seed = fnv1a(name);
  const value = ruleFor(name, shape);
  return Float32Array.from({ length: shape.reduce((product, dim) => product * dim, 1) }, (_, index) =>
    value(unitHash(seed, index)),
  );
}

function ruleFor(name: string, shape: Shape): (u: number) => number {
  if (shape.length === 4) {
    const scale = Math.sqrt(6 / shape.slice(1).reduce((product, dim) => product * dim));
    return (u) => (2 * u - 1) * scale;
  }
  if (/bn\.bias$|running_mean$/.test(name)) return (u) => (2 * u - 1) * 0.2;
  if (name.endsWith('running_var')) return (u) => 0.6 + u;
  if (name.endsWith('bn.weight')) return (u) => 0.75 + 0.5 * u;
  return (u) => (2 * u - 1) * 0.1;
}

export const inceptionShapes: readonly (readonly [string, Shape])[] = inceptionConvolutions().flatMap(
  (spec) => [...convolutionShapes(spec)].map(([part, shape]) => [`${spec.name}.${part}`, shape] as const),
);

/** Those of TensorFlow's network, which has no scale in the batch norm. */
export const inceptionShapesWithoutScale = inceptionShapes.filter(([name]) => !name.endsWith('.bn.weight'));

/** Writes generated weights of these names and shapes as .safetensors. */
export async function writeGenerated(
  path: string,
  shapes: Iterable<readonly [string, Shape]>,
): Promise<string> {
  const tensors = [...shapes].map(
    ([name, shape]) => [name, float32(shape, generatedWeight(name, shape))] as const,
  );
  await writeSafetensors(path, Object.fromEntries(tensors));
  return path;
}
