import type { GraphPart } from '../../graph/graph.js';
import { intAttribute, operandNames, type Value } from '../../graph/value.js';

/** Channels of a joined image. */
export interface Place {
  readonly joined: Value;
  readonly start: number;
  readonly end: number;
}

/**
 * By name of an image that nobody reads but to join it with others along channels where it goes: what
 * computes it writes it there. Others are copied: their own readers are slower among others' channels.
 */
export function findJoins({ operations }: GraphPart): ReadonlyMap<string, Place> {
  const read = new Set<string>();
  const again = new Set<string>();
  for (const name of operations.flatMap(operandNames)) (read.has(name) ? again : read).add(name);
  const places = new Map<string, Place>();
  for (const { spec, outputs } of operations) {
    const [joined] = outputs as [Value];
    if (spec.op !== 'Concat' || joined.shape.length !== 4 || intAttribute(spec, 'axis') !== 1) continue;
    let start = 0;
    for (const { name, shape } of spec.inputs as readonly Value[]) {
      const end = start + (shape[1] as number);
      if (!again.has(name)) places.set(name, { joined, start, end });
      start = end;
    }
  }
  return places;
}
