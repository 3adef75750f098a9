import type { Value } from '../../graph/value.js';
import type { Shape } from '../../tensor/tensor.js';
import { denseView, orderOf, permuted, reshaped, type View } from './view.js';

/** Codes of a product's activations, as native/device/cpu/product.h has them. */
export const activationCodes = { none: 0, silu: 1, gelu: 2, gelu_tanh: 3, quick_gelu: 4, geglu: 5 } as const;
export type ProductActivation = keyof typeof activationCodes;

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
  /** `[...positions, inner]`. */
  readonly x: View;
  readonly weight: View;
  readonly distances: readonly number[];
  readonly bias: View | undefined;
  /** `[images, features]`. */
  readonly shift: View | undefined;
  readonly activation: ProductActivation;
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

/** Undefined where a product has no such positions, or its operand can't be seen through them. */
export function placementOf(shape: View, x: View, features: number): Placement | undefined {
  const order = orderOf(shape);
  const ordered = order.map((axis) => shape.shape[axis] as number);
  if (ordered.at(-1) !== features || ordered.length > 4 || ordered.length < 2) return undefined;
  const positions = positionsOf(ordered.slice(0, -1));
  return positionsOfOperand(x, positions) && { order, dims: [...positions, features] };
}

/** `[images, rows, columns]`. */
function positionsOf(dims: Shape): Shape {
  if (dims.length === 1) return [1, 1, ...dims];
  return dims.length === 2 ? [dims[0] as number, 1, dims[1] as number] : dims;
}

/** `[...positions, inner]` as `[images, rows, columns, inner]`. */
export function positionsOfOperand(x: View, positions: Shape): View | undefined {
  return reshaped(x, [...positions, x.shape.at(-1) as number]);
}

/** A view with the dimensions of a value, as the placement has its positions and features. */
export function placed(view: View, { order, dims }: Placement): View | undefined {
  return reshaped(permuted(view, order), dims);
}
