import type { ElementType } from '../../tensor/element-type.js';
import { itemBytes } from '../../tensor/element-type.js';
import type { EncodedCommands, EncodedList } from '../addon.js';
import { type Command, commands as rows } from './command.js';
import type { CommandList } from './lower.js';
import type { Storage, View } from './view.js';

/** Codes of element types, as native/device/strided.h has them. */
const typeCodes: Readonly<Partial<Record<ElementType, number>>> = {
  float32: 0,
  bfloat16: 1,
  int64: 2,
};

/** Places of storages among the buffers that all lists of a program have in common. */
export class Buffers {
  readonly #places = new Map<Storage, number>();

  /** Storages that have buffers of their own, in order. */
  get storages(): readonly Storage[] {
    return [...this.#places.keys()];
  }

  place(storage: Storage): number {
    const known = this.#places.get(storage) ?? this.#places.size + 1;
    this.#places.set(storage, known);
    return known;
  }
}

const ARENA = 0;
const ABSENT = -1;

/** A list as the addon reads it. */
export function encodeList({ prepared, commands, arena }: CommandList, buffers: Buffers): EncodedList {
  const place = (storage: Storage) =>
    storage.kind === 'arena'
      ? { buffer: ARENA, offset: arena.offsets.get(storage) as number }
      : { buffer: buffers.place(storage), offset: 0 };
  return { prepared: encode(prepared, place), commands: encode(commands, place) };
}

/** Among a program's buffers, and where a storage begins there in bytes. */
type Place = (storage: Storage) => { readonly buffer: number; readonly offset: number };

/**
 * Commands as the addon reads them: for each, the place of its operator in `operators`; its attributes, each
 * as a count and so many numbers; its operands, each as buffer (-1 for none), byte offset, type, rank, shape
 * and strides.
 */
function encode(list: readonly Command[], place: Place): EncodedCommands {
  const operators = [...new Set(list.map(({ op }) => op))];
  const words = list.flatMap((command) => [operators.indexOf(command.op), ...encodeCommand(command, place)]);
  return { operators, names: list.map(({ name }) => name), words: Float64Array.from(words) };
}

function encodeCommand({ op, operands, attributes }: Command, place: Place): number[] {
  const row = rows[op];
  const numbers = row.attributes.flatMap((name) => {
    const value = attributes[name] ?? [];
    const list = typeof value === 'number' ? [value] : value;
    return [list.length, ...list];
  });
  const views = row.operands.flatMap((name) => {
    const view = operands[name.replace('?', '')];
    return view ? encodeView(view, place) : [ABSENT];
  });
  return [...numbers, ...views];
}

function encodeView({ storage, dtype, shape, strides, offset }: View, place: Place): number[] {
  const { buffer, offset: start } = place(storage);
  const type = typeCodes[dtype];
  if (type === undefined) throw new Error(`no command computes with ${dtype}`);
  return [buffer, start + offset * itemBytes[dtype], type, shape.length, ...shape, ...strides];
}
