import type { GraphPart } from '../../graph/graph.js';
import { intAttribute, type Value } from '../../graph/value.js';
import { countReaders } from './readers.js';

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
export function findJoins(part: GraphPart): ReadonlyMap<string, Place> {
  const readers = countReaders(part);
  const places = new Map<string, Place>();
  for (const { spec, outputs } of part.operations) {
    const [joined] = outputs as [Value];
    if (spec.op !== 'Concat' || joined.shape.length !== 4 || intAttribute(spec, 'axis') !== 1) continue;
    let start = 0;
    for (const { name, shape } of spec.inputs as readonly Value[]) {
      const end = start + (shape[1] as number);
      if (readers.get(name) === 1) places.set(name, { joined, start, end });
      start = end;
    }
  }
  return places;
}
