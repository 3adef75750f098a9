import type { Value } from '../../graph/value.js';
import type { Shape } from '../../tensor/tensor.js';
import { unitsOf } from './column-sums.js';
import type { Command, CommandName } from './command.js';
import { denseView, orderOf, permuted, reshaped, type View } from './view.js';

/** Codes of a product's activations, as native/device/cpu/product.h has them. */
export const activationCodes = { none: 0, silu: 1, gelu: 2, gelu_tanh: 3, quick_gelu: 4, geglu: 5 } as const;
export type ProductActivation = keyof typeof activationCodes;

/** What becomes of sums, each seen at the positions that they are of. */
interface Finish {
  readonly bias: View | undefined;
  readonly shift: View | undefined;
  readonly gate: View | undefined;
  readonly residual: View | undefined;
  readonly y: View;
  readonly columnSums: View | undefined;
}

export type Emit = (
  op: CommandName,
  name: string,
  operands: Readonly<Record<string, View | undefined>>,
  attributes?: Command['attributes'],
) => void;

/** How sums are taken: as one product, or in a way that needs fewer multiplications. */
export interface Multiplication {
  /** Of the weight. */
  readonly features: number;
  /** Whether it can be done at positions `[images, rows, columns]`. */
  fits(positions: Shape): boolean;
  /** In how many units it sums the columns of each row; undefined where it can't. */
  units(positions: Shape): number | undefined;
  emit(emit: Emit, name: string, positions: Shape, finish: Finish, activation: number): void;
}

/** x `[...positions, inner]`, the first segment of the operand; the others lie `distances` away. */
export function oneProduct(x: View, weight: View, distances: readonly number[]): Multiplication {
  return {
    features: weight.shape[0] as number,
    fits: (positions) => positionsOfOperand(x, positions) !== undefined,
    units: unitsOf,
    emit: (emit, name, positions, finish, activation) => {
      const operands = { x: positionsOfOperand(x, positions), weight, ...finish };
      emit('Product', name, operands, { distances, activation });
    },
  };
}

/**
 * A product that is not computed yet, because what follows may become part of it. Its result is seen as a
 * value of the graph through `shape`, as if it were there, positions and features in order.
 */
export interface Pending {
  readonly name: string;
  /** What it is of the graph so far. */
  readonly value: Value;
  /** Of a dense result, with the dimensions of `value`. */
  readonly shape: View;
  readonly multiplication: Multiplication;
  readonly bias: View | undefined;
  /** `[images, features]`. */
  readonly shift: View | undefined;
  readonly activation: ProductActivation;
  /** `[images, features]`, what activated sums are multiplied by. */
  readonly gate: View | undefined;
  /** With the dimensions of `value`. */
  readonly residual: View | undefined;
}

/** The result of a product as a value: dense, positions first. */
export function resultShape(name: string, dims: Shape): View {
  return denseView('arena', { name, dtype: 'float32', shape: dims });
}

/**
 * Positions and features of a result, in the order in which they lie, and a value's dimensions in that order.
 */
export interface Placement {
  readonly order: readonly number[];
  /** `[images, rows, columns, features]`. */
  readonly dims: Shape;
}

/** Undefined where a product can't be computed at such positions. */
export function placementOf({
  shape,
  multiplication,
  activation,
}: Pick<Pending, 'shape' | 'multiplication' | 'activation'>): Placement | undefined {
  const features = multiplication.features / (activation === 'geglu' ? 2 : 1);
  const order = orderOf(shape);
  const ordered = order.map((axis) => shape.shape[axis] as number);
  if (ordered.at(-1) !== features || ordered.length > 4 || ordered.length < 2) return undefined;
  const positions = positionsOf(ordered.slice(0, -1));
  return multiplication.fits(positions) ? { order, dims: [...positions, features] } : undefined;
}

/** `[images, rows, columns]`. */
function positionsOf(dims: Shape): Shape {
  if (dims.length === 1) return [1, 1, ...dims];
  return dims.length === 2 ? [dims[0] as number, 1, dims[1] as number] : dims;
}

/** `[...positions, inner]` as `[images, rows, columns, inner]`. */
function positionsOfOperand(x: View, positions: Shape): View | undefined {
  return reshaped(x, [...positions, x.shape.at(-1) as number]);
}

/** A view with the dimensions of a value, as the placement has its positions and features. */
export function placed(view: View, { order, dims }: Placement): View | undefined {
  return reshaped(permuted(view, order), dims);
}
