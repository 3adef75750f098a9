import { type EngineName, engineNames } from '../../src/engine/device.js';

/** Each of these with each engine. */
export function withEngines<T>(cases: readonly T[]): readonly (readonly [T, EngineName])[] {
  return cases.flatMap((item) => engineNames.map((engine) => [item, engine] as const));
}
