import { parse } from 'node:path';
import { DistriError } from '../base/errors.js';

/** Names of two files that are compared, one in each folder. */
export type Pair = readonly [string, string];

/** Which files of two folders are compared with each other. */
export interface Pairing {
  /** Sorted by the names in the first folder. */
  readonly pairs: readonly Pair[];
  /** Files of each folder that have no partner in the other. */
  readonly alone: readonly [readonly string[], readonly string[]];
  /** Position only where no names match, or as the reference's script does it. */
  readonly by: 'name' | 'position';
}

/**
 * Pairs files of the same name, then of the same name but for the extension. Where no names match, folders
 * with as many files as each other are paired by position; others are a `dataset` error.
 */
export function pairByName(first: readonly string[], second: readonly string[]): Pairing {
  const pairs: Pair[] = [];
  const left = new Set(first);
  const right = new Set(second);
  const match = (key: (name: string) => string) => {
    const candidates = new Map<string, string[]>();
    for (const name of right) candidates.set(key(name), [...(candidates.get(key(name)) ?? []), name]);
    for (const name of [...left]) {
      const partner = candidates.get(key(name))?.shift();
      if (partner === undefined) continue;
      pairs.push([name, partner]);
      left.delete(name);
      right.delete(partner);
    }
  };
  match((name) => name);
  match((name) => parse(name).name);
  if (pairs.length === 0) return pairByPosition(first, second);
  const order = new Map(first.map((name, index) => [name, index]));
  pairs.sort(([a], [b]) => (order.get(a) as number) - (order.get(b) as number));
  return { pairs, alone: [[...left], [...right]], by: 'name' };
}

/** Pairs the sorted files one by one. Different numbers, and none, are a `dataset` error. */
export function pairByPosition(first: readonly string[], second: readonly string[]): Pairing {
  if (first.length === 0 && second.length === 0) {
    throw new DistriError('dataset', 'Neither folder has images to pair');
  }
  if (first.length !== second.length) {
    throw new DistriError(
      'dataset',
      `${first.length} and ${second.length} images cannot be paired: no names match, and by position the numbers must be equal`,
    );
  }
  return {
    pairs: first.map((name, index) => [name, second[index] as string]),
    alone: [[], []],
    by: 'position',
  };
}
