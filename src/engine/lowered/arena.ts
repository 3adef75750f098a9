import type { Command } from './command.js';
import type { Storage, View } from './view.js';

/** Where storages of the arena lie, in bytes, and how large it is. */
export interface Arena {
  readonly offsets: ReadonlyMap<Storage, number>;
  readonly bytes: number;
}

/** Of a cache line, and of what kernels load at once. */
const ALIGNMENT = 64;

/** From its first command to its last one. */
interface Life {
  readonly storage: Storage;
  readonly first: number;
  last: number;
}

/**
 * Gives every storage of the arena a place that no other one has while it lives: the largest first, each as
 * low as possible. Whole commands count, so that none writes what it reads of others.
 */
export function layOut(commands: readonly Command[]): Arena {
  const placed: { readonly life: Life; readonly offset: number }[] = [];
  const lives = livesOf(commands).sort((a, b) => b.storage.bytes - a.storage.bytes);
  for (const life of lives) {
    const busy = placed
      .filter(({ life: other }) => other.first <= life.last && life.first <= other.last)
      .sort((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const other of busy) {
      if (other.offset >= offset + life.storage.bytes) break;
      offset = Math.max(offset, aligned(other.offset + other.life.storage.bytes));
    }
    placed.push({ life, offset });
  }
  return {
    offsets: new Map(placed.map(({ life, offset }) => [life.storage, offset])),
    bytes: Math.max(0, ...placed.map(({ life, offset }) => aligned(offset + life.storage.bytes))),
  };
}

/** Bytes of the arena that hold something while each command runs. */
export function liveBytes(commands: readonly Command[]): number[] {
  const live = commands.map(() => 0);
  for (const { storage, first, last } of livesOf(commands)) {
    for (let index = first; index <= last; index++) live[index] = (live[index] as number) + storage.bytes;
  }
  return live;
}

function livesOf(commands: readonly Command[]): Life[] {
  const lives = new Map<Storage, Life>();
  for (const [index, { operands }] of commands.entries()) {
    for (const { storage } of Object.values(operands) as View[]) {
      if (storage.kind !== 'arena') continue;
      const life = lives.get(storage);
      if (life) life.last = index;
      else lives.set(storage, { storage, first: index, last: index });
    }
  }
  return [...lives.values()];
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
