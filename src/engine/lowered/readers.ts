import type { GraphPart } from '../../graph/graph.js';
import { operandNames } from '../../graph/value.js';

/** By name of a value how often it is read, also by who takes it from the part. */
export function countReaders({ operations, outputs }: GraphPart): Map<string, number> {
  const readers = new Map<string, number>();
  for (const name of [...operations.flatMap(operandNames), ...outputs.map((value) => value.name)]) {
    readers.set(name, (readers.get(name) ?? 0) + 1);
  }
  return readers;
}
