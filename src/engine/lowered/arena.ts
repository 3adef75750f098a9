import type { Command } from './command.js';
import type { Storage, View } from './view.js';

/** Where storages of the arena lie, in bytes, and how large it is. */
export interface Arena {
  readonly offsets: ReadonlyMap<Storage, number>;
  readonly bytes: number;
}

/** Of a cache line, and of what kernels load at once. */
const ALIGNMENT = 64;

/** From its first command to its last one, of storages that follow each other in one place. */
interface Life {
  readonly storages: Storage[];
  readonly bytes: number;
  readonly first: number;
  last: number;
}

/**
 * Gives every storage of the arena a place that no other one has while it lives: the largest first, each as
 * low as possible. Whole commands count, so that none writes what it reads of others, but for a product's
 * residual: where nobody needs it afterwards, the result takes its place, element by element.
 */
export function layOut(commands: readonly Command[]): Arena {
  const placed: { readonly life: Life; readonly offset: number }[] = [];
  const lives = livesOf(commands).sort((a, b) => b.bytes - a.bytes);
  for (const life of lives) {
    const busy = placed
      .filter(({ life: other }) => other.first <= life.last && life.first <= other.last)
      .sort((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const other of busy) {
      if (other.offset >= offset + life.bytes) break;
      offset = Math.max(offset, aligned(other.offset + other.life.bytes));
    }
    placed.push({ life, offset });
  }
  return {
    offsets: new Map(placed.flatMap(({ life, offset }) => life.storages.map((storage) => [storage, offset]))),
    bytes: Math.max(0, ...placed.map(({ life, offset }) => aligned(offset + life.bytes))),
  };
}

/** Bytes of the arena that hold something while each command runs. */
export function liveBytes(commands: readonly Command[]): number[] {
  const live = commands.map(() => 0);
  for (const { bytes, first, last } of livesOf(commands)) {
    for (let index = first; index <= last; index++) live[index] = (live[index] as number) + bytes;
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
      else lives.set(storage, { storages: [storage], bytes: storage.bytes, first: index, last: index });
    }
  }
  for (const [index, command] of commands.entries()) continueResidual(command, index, lives);
  return [...new Set(lives.values())];
}

/** Makes one life of a product's residual that ends with it and its result, where they lie alike. */
function continueResidual({ operands }: Command, index: number, lives: Map<Storage, Life>): void {
  const { residual, y } = operands;
  if (!residual || !y || !liesAlike(residual, y)) return;
  const before = lives.get(residual.storage);
  const after = lives.get(y.storage);
  if (before?.last !== index || after?.first !== index || before === after) return;
  const readers = Object.values(operands).filter(({ storage }) => before.storages.includes(storage));
  if (readers.length > 1) return;
  before.storages.push(...after.storages);
  before.last = after.last;
  for (const storage of after.storages) lives.set(storage, before);
}

/** Whether both fill storages of the same size in the same way. */
function liesAlike(a: View, b: View): boolean {
  const same = (x: readonly number[], y: readonly number[]) => x.every((value, axis) => value === y[axis]);
  return (
    a.dtype === b.dtype &&
    a.offset === b.offset &&
    a.storage.bytes === b.storage.bytes &&
    same(a.shape, b.shape) &&
    same(a.strides, b.strides)
  );
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
