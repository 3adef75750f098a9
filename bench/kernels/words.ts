import { commands as rows } from '../../src/engine/lowered/command.js';
import type { DescribedCommand, DescribedOperand } from '../../src/engine/lowered/described.js';
import { activationCodes } from '../../src/engine/lowered/pending.js';
import { type ElementType, itemBytes } from '../../src/tensor/element-type.js';
import { extentOf, type ProductLayer } from './layers.js';

const ABSENT = -1;
const RANDOM: readonly number[] = [];

/** Codes of element types, as native/device/strided.h has them. */
function typeCode(dtype: ElementType): number {
  return dtype === 'float32' ? 0 : 1;
}

/** A buffer of the program that computes layers. */
interface Buffer {
  bytes: number;
  /** How it is packed; nothing for what is no packed weight. */
  readonly packed: readonly number[];
}

/** Buffers by the names of what is in them; commands say their places, counted from 1. */
class Buffers {
  readonly all: Buffer[] = [];
  readonly #places = new Map<string, number>();

  place(name: string, bytes: number, packed: readonly number[]): number {
    const known = this.#places.get(name) ?? this.all.push({ bytes: 0, packed });
    this.#places.set(name, known);
    const buffer = this.all[known - 1] as Buffer;
    buffer.bytes = Math.max(buffer.bytes, bytes);
    return known;
  }
}

/**
 * Layers as native/bench/layers.cc reads them: the element type, buffers, then for each layer its shape, its
 * weights and its commands, every list behind its length.
 */
export function wordsOf(layers: readonly ProductLayer[], dtype: ElementType): string {
  const buffers = new Buffers();
  const encoded = layers.flatMap((layer) => encodeLayer(layer, buffers));
  const contents = buffers.all.flatMap(({ bytes, packed }) => [bytes, packed.length, ...packed]);
  return [typeCode(dtype), buffers.all.length, ...contents, layers.length, ...encoded].join(' ');
}

function encodeLayer({ commands, shape }: ProductLayer, buffers: Buffers): (string | number)[] {
  const { images, rows: down, columns, inner, features, kernel, stride, activation, residual } = shape;
  const operators = [...new Set(commands.map(({ op }) => op))];
  const words = commands.flatMap((command) => [
    operators.indexOf(command.op),
    ...encodeCommand(command, buffers),
  ]);
  const weights = commands.flatMap((command) =>
    command.operands.weight ? [placeOf(command, command.operands.weight, buffers)] : [],
  );
  return [
    ...[images, down, columns, inner, features, kernel, stride, activation, Number(residual)],
    ...counted(weights),
    ...counted(operators),
    ...counted(commands.map(({ op, number }) => `${op}-${number}`)),
    ...counted(words),
  ];
}

function counted<T extends string | number>(list: readonly T[]): (T | number)[] {
  return [list.length, ...list];
}

/** As src/engine/lowered/encode.ts does. */
function encodeCommand(command: DescribedCommand, buffers: Buffers): number[] {
  const row = rows[command.op];
  const numbers = row.attributes.flatMap((name) => {
    const value = command.attributes[name] ?? [];
    return counted(typeof value === 'number' ? [value] : value);
  });
  const operands = row.operands.flatMap((name) => {
    const operand = command.operands[name.replace('?', '')];
    if (!operand) return [ABSENT];
    const { dtype, shape, strides, offset } = operand;
    const place = placeOf(command, operand, buffers);
    return [place, offset, typeCode(dtype), shape.length, ...shape, ...strides];
  });
  return [...numbers, ...operands];
}

/** All of the arena is one buffer; weights that are packed are each command's own. */
function placeOf(command: DescribedCommand, operand: DescribedOperand, buffers: Buffers): number {
  const { memory, value, offset, dtype, shape, strides } = operand;
  const bytes = offset + itemBytes[dtype] * extentOf(shape, strides);
  if (memory === 'arena') return buffers.place(memory, bytes, RANDOM);
  if (memory !== 'packed weight') return buffers.place(`${memory} ${value}`, bytes, RANDOM);
  const segments = (command.attributes.distances as readonly number[]).length;
  const inner = command.operands.x?.shape.at(-1) as number;
  const geglu = Number(command.attributes.activation === activationCodes.geglu);
  const packed = [shape[0] as number, segments, inner, typeCode(dtype), geglu];
  return buffers.place(`${memory} ${command.number}`, bytes, packed);
}
