import type { Generator } from './generator.js';
import { PhiloxGenerator } from './random-philox.js';
import { TorchGenerator } from './random-torch.js';

const generators = { cpu: TorchGenerator, philox: PhiloxGenerator } as const satisfies Readonly<
  Record<string, new (seed: bigint) => Generator>
>;

/**
 * `cpu`: the numbers of `torch.Generator('cpu')`; `philox`: those of `torch.Generator('cuda')`.
 * @useDeclaredType
 */
export type RngName = keyof typeof generators;

export const rngNames = Object.keys(generators) as readonly RngName[];

export function createGenerator(name: RngName, seed: bigint): Generator {
  return new generators[name](seed);
}
