import { type ElementType, itemBytes } from '../../tensor/element-type.js';
import type { Shape } from '../../tensor/tensor.js';
import { liveBytes } from './arena.js';
import type { Command, CommandName } from './command.js';
import type { CommandList, LoweredPart } from './lower.js';
import type { View } from './view.js';

/** What a command reads or writes. */
export interface DescribedOperand {
  /** Where it is: in the arena, in memory that is kept, with the caller, or a weight. */
  readonly memory: View['storage']['kind'] | 'packed weight';
  /** Of the value that the memory was made for. */
  readonly value: string;
  /** Bytes from the start of that memory, or of the arena, to the first element. */
  readonly offset: number;
  readonly dtype: ElementType;
  readonly shape: Shape;
  /** Elements from one index of a dimension to the next. */
  readonly strides: readonly number[];
}

/** A command of a list. */
export interface DescribedCommand {
  /** Its place in the list, from 0. */
  readonly number: number;
  /** Of `commands` in src/engine/lowered/command.ts. */
  readonly op: CommandName;
  /** Of the layer that it comes from. */
  readonly name: string;
  /** By their names, in order. */
  readonly operands: Readonly<Record<string, DescribedOperand>>;
  readonly attributes: Command['attributes'];
  /** Bytes of the arena that are in use while it runs. */
  readonly arena: number;
}

/** A list of commands as it is shown. */
export interface DescribedList {
  readonly arenaBytes: number;
  /** Commands that run once, before the first call of an image. */
  readonly prepared: number;
  /** The prepared ones first, then those of every call. */
  readonly commands: readonly DescribedCommand[];
}

/** Shapes, places and memory of all commands of one of a part's lists. */
export function describeList(list: CommandList, weights: LoweredPart['weights']): DescribedList {
  const all = [...list.prepared, ...list.commands];
  const live = liveBytes(all);
  return {
    arenaBytes: list.arena.bytes,
    prepared: list.prepared.length,
    commands: all.map(({ op, name, operands, attributes }, number) => ({
      number,
      op,
      name,
      operands: Object.fromEntries(
        Object.entries(operands).map(([operand, view]) => [operand, describeView(view, list, weights)]),
      ),
      attributes,
      arena: live[number] as number,
    })),
  };
}

function describeView(
  { storage, dtype, shape, strides, offset }: View,
  list: CommandList,
  weights: LoweredPart['weights'],
): DescribedOperand {
  const packed = weights.get(storage)?.packed;
  const start = list.arena.offsets.get(storage) ?? 0;
  return {
    memory: packed ? 'packed weight' : storage.kind,
    value: storage.name,
    offset: start + itemBytes[dtype] * offset,
    dtype: packed?.dtype ?? dtype,
    shape,
    strides,
  };
}
