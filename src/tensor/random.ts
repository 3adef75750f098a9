import { expected } from '../base/errors.js';
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

/** What seeds there are. */
export const seeds = 'an integer from -2^63 to 2^64 - 1';

/** A seed as torch.manual_seed takes it, from 0 on: negative ones count from 2^64 down. */
export function seedOf(seed: bigint | number, name: string): bigint {
  const whole = typeof seed === 'bigint' || Number.isSafeInteger(seed);
  if (!whole || seed < -(2n ** 63n) || seed >= 2n ** 64n) {
    throw expected(seeds, name, seed);
  }
  return BigInt.asUintN(64, BigInt(seed));
}

export function createGenerator(name: RngName, seed: bigint): Generator {
  return new generators[name](seed);
}
