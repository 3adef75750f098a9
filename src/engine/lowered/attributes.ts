import type { Operation } from '../../graph/value.js';

/** The numbers of this name, which the operation is known to have. */
export function intsOf({ spec }: Operation, name: string): readonly number[] {
  const attribute = spec.attributes?.[name];
  if (attribute?.type !== 'ints') throw new Error(`${spec.name} has no integers ${name}`);
  return attribute.value;
}

/** The number of this name, which the operation is known to have. */
export function floatOf({ spec }: Operation, name: string): number {
  const attribute = spec.attributes?.[name];
  if (attribute?.type !== 'float') throw new Error(`${spec.name} has no number ${name}`);
  return attribute.value;
}
