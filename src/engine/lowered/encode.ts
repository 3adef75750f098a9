import type { ElementType } from '../../tensor/element-type.js';
import { itemBytes } from '../../tensor/element-type.js';
import type { EncodedCommands } from '../addon.js';
import { type Command, commands as rows } from './command.js';
import type { CommandList } from './lower.js';
import type { Storage, View } from './view.js';

/** Codes of element types, as native/device/strided.h has them. */
const typeCodes: Readonly<Partial<Record<ElementType, number>>> = {
  float32: 0,
  bfloat16: 1,
  int64: 2,
};

/** Places of storages among a program's buffers, and where they begin there in bytes. */
export class Buffers {
  readonly #list: CommandList;
  readonly #places = new Map<Storage, number>();

  constructor(list: CommandList) {
    this.#list = list;
  }

  /** Storages that have buffers of their own, in order. */
  get storages(): readonly Storage[] {
    return [...this.#places.keys()];
  }

  place(storage: Storage): { readonly buffer: number; readonly offset: number } {
    if (storage.kind === 'arena') {
      return { buffer: ARENA, offset: this.#list.arena.offsets.get(storage) as number };
    }
    const known = this.#places.get(storage) ?? this.#places.size + 1;
    this.#places.set(storage, known);
    return { buffer: known, offset: 0 };
  }
}

const ARENA = 0;
const ABSENT = -1;

/**
 * Commands as the addon reads them: for each, the place of its operator in `operators`; its attributes, each
 * as a count and so many numbers; its operands, each as buffer (-1 for none), byte offset, type, rank, shape
 * and strides.
 */
export function encode(list: readonly Command[], buffers: Buffers): EncodedCommands {
  const operators = [...new Set(list.map(({ op }) => op))];
  const words = list.flatMap((command) => [
    operators.indexOf(command.op),
    ...encodeCommand(command, buffers),
  ]);
  return { operators, names: list.map(({ name }) => name), words: Float64Array.from(words) };
}

function encodeCommand({ op, operands, attributes }: Command, buffers: Buffers): number[] {
  const row = rows[op];
  const numbers = row.attributes.flatMap((name) => {
    const value = attributes[name] ?? [];
    const list = typeof value === 'number' ? [value] : value;
    return [list.length, ...list];
  });
  const views = row.operands.flatMap((name) => {
    const view = operands[name.replace('?', '')];
    return view ? encodeView(view, buffers) : [ABSENT];
  });
  return [...numbers, ...views];
}

function encodeView({ storage, dtype, shape, strides, offset }: View, buffers: Buffers): number[] {
  const { buffer, offset: start } = buffers.place(storage);
  const type = typeCodes[dtype];
  if (type === undefined) throw new Error(`no command computes with ${dtype}`);
  return [buffer, start + offset * itemBytes[dtype], type, shape.length, ...shape, ...strides];
}
