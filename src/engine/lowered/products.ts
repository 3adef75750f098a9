import { intAttribute, type Operation, type Value } from '../../graph/value.js';
import type { Shape } from '../../tensor/tensor.js';
import type { Lowering } from './lowering.js';
import {
  oneProduct,
  type Pending,
  type ProductActivation,
  placed,
  placementOf,
  resultShape,
} from './pending.js';
import { broadcastTo, isInnerDense, reshaped, type View } from './view.js';

/** x `[..., in]`, weight `[out, in]`, bias, residual. */
export function lowerLinear(lowering: Lowering, operation: Operation): void {
  const { spec, outputs } = operation;
  const [x, weight, bias, residual] = spec.inputs as [Value, Value, Value?, Value?];
  const [result] = outputs as [Value];
  const [features, inner] = weight.shape as [number, number];
  const geglu = intAttribute(spec, 'activation') === 1;
  const packed = { features, segments: 1, inner, dtype: lowering.elementType, geglu };
  lowering.postpone({
    name: spec.name,
    value: result,
    shape: resultShape(spec.name, result.shape),
    multiplication: oneProduct(lowering.dense(x, lowering.elementType), lowering.weight(weight, packed), [0]),
    bias: bias && lowering.view(bias),
    shift: undefined,
    activation: geglu ? 'geglu' : 'none',
    gate: undefined,
    residual: residual && lowering.view(residual),
  });
}

/** A sum becomes part of the product that is one of its terms, where it can. */
export function addToProduct(lowering: Lowering, operation: Operation): boolean {
  const [a, b] = operation.spec.inputs as [Value, Value];
  const [result] = operation.outputs as [Value];
  for (const [term, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const pending = lowering.pendingOf(term);
    if (!pending || !sameShape(term.shape, result.shape)) continue;
    const next = withShift(lowering, pending, other) ?? withResidual(lowering, pending, other);
    if (!next) continue;
    lowering.replace(pending, { ...next, value: result });
    return true;
  }
  return false;
}

/** What is added to each channel of an image: `[batch or 1, features, 1, 1]`. */
function withShift(lowering: Lowering, pending: Pending, other: Value): Pending | undefined {
  const { shape } = other;
  const free = !pending.shift && !pending.gate && !pending.residual && pending.activation === 'none';
  if (!free || shape.length !== 4 || shape[2] !== 1 || shape[3] !== 1) return undefined;
  const given = reshaped(lowering.view(other), shape.slice(0, 2));
  if (given?.dtype !== 'float32' || !isInnerDense(given)) return undefined;
  // The same for all images where it is there once.
  return { ...pending, shift: broadcastTo(given, pending.value.shape.slice(0, 2)) };
}

function withResidual(lowering: Lowering, pending: Pending, other: Value): Pending | undefined {
  if (pending.residual || !sameShape(other.shape, pending.value.shape)) return undefined;
  const place = placementOf(pending);
  const residual = lowering.view(other);
  const seen = place && placed(residual, place);
  return seen && isInnerDense(seen) ? { ...pending, residual } : undefined;
}

/**
 * Factors that are the same for all tokens of an image, `[batch or 1, 1, features]`, become part of the
 * product of tokens that they are of, where they can.
 */
export function gateProduct(lowering: Lowering, operation: Operation): boolean {
  const [a, b] = operation.spec.inputs as [Value, Value];
  const [result] = operation.outputs as [Value];
  for (const [term, factor] of [
    [a, b],
    [b, a],
  ] as const) {
    const pending = lowering.pendingOf(term);
    if (!pending || pending.gate || pending.residual || !sameShape(term.shape, result.shape)) continue;
    // Of tokens as they lie.
    if (!placementOf(pending)?.order.every((axis, place) => axis === place)) continue;
    const gate = perImage(lowering, factor, result.shape);
    if (!gate) continue;
    lowering.replace(pending, { ...pending, gate, value: result });
    return true;
  }
  return false;
}

/**
 * What is there once for all tokens `[batch, tokens, features]` of an image, `[batch or 1, 1, features]`, as
 * `[batch, features]` of float32; undefined for anything else.
 */
export function perImage(lowering: Lowering, value: Value, tokens: Shape): View | undefined {
  const { shape } = value;
  const [batch, , features] = tokens as [number, number, number];
  if (tokens.length !== 3 || shape.length !== 3 || shape[1] !== 1 || shape[2] !== features) return undefined;
  const rows = reshaped(lowering.dense(value, 'float32'), [shape[0] as number, features]);
  return rows && broadcastTo(rows, [batch, features]);
}

/** An activation becomes part of the product that it is of, where it can. */
export function activateProduct(
  lowering: Lowering,
  operation: Operation,
  activation: ProductActivation,
): boolean {
  const pending = lowering.pendingOf(operation.spec.inputs[0] as Value);
  if (!pending || pending.gate || pending.residual || pending.activation !== 'none') return false;
  lowering.replace(pending, { ...pending, activation, value: operation.outputs[0] as Value });
  return true;
}

/** A product seen in another shape stays a product that others can become part of. */
export function viewProduct(
  lowering: Lowering,
  operation: Operation,
  change: (view: View) => View | undefined,
): boolean {
  const pending = lowering.pendingOf(operation.spec.inputs[0] as Value);
  if (!pending) return false;
  const shape = change(pending.shape);
  const residual = pending.residual && change(pending.residual);
  if (!shape || (pending.residual && !residual)) return false;
  const next: Pending = { ...pending, shape, residual, value: operation.outputs[0] as Value };
  const place = placementOf(next);
  if (!place) return false;
  // What is of images has to stay so.
  const images = (pending.shift ?? pending.gate)?.shape[0] ?? place.dims[0];
  if (place.dims[0] !== images) return false;
  lowering.replace(pending, next);
  return true;
}

/** Elementwise, with dimensions of 1 repeated. */
export function lowerBinary(lowering: Lowering, operation: Operation, op: 'Add' | 'Multiply'): void {
  const [a, b] = operation.spec.inputs as [Value, Value];
  const [result] = operation.outputs as [Value];
  const operands = {
    a: broadcastTo(lowering.view(a), result.shape),
    b: broadcastTo(lowering.view(b), result.shape),
  };
  lowering.emit(op, operation.spec.name, {
    ...operands,
    y: lowering.allocate(result, lowering.typeOf(operation), lowering.orderLike(result, [a, b])),
  });
}

function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}
