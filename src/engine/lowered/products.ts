import { intAttribute, intsAttribute, type Operation, type Value } from '../../graph/value.js';
import type { Shape } from '../../tensor/tensor.js';
import { channelsLast, type Frame, type Lowering } from './lowering.js';
import { type Pending, type ProductActivation, placed, resultShape } from './pending.js';
import { broadcastTo, isInnerDense, permuted, reshaped, sliced, type View } from './view.js';

/** The sides that a convolution reads beyond its operand. */
export function frameOf(operation: Operation): Frame {
  return intsAttribute(operation.spec, 'pads') as unknown as Frame;
}

/** x `[batch, in, rows, columns]`, weight `[out, in, k, k]`, bias. */
export function lowerConv(lowering: Lowering, operation: Operation): void {
  const { spec, outputs } = operation;
  const [x, weight, bias] = spec.inputs as [Value, Value, Value?];
  const [result] = outputs as [Value];
  const [features, inner, kernel] = weight.shape as [number, number, number];
  const stride = intsAttribute(operation.spec, 'strides')[0] as number;
  const frame = frameOf(operation);
  const image = framed(lowering, x, frame);
  const [, rowStride, columnStride] = image.strides as [number, number, number];
  const [batch, , rows, columns] = result.shape as [number, number, number, number];
  const first: View = {
    ...image,
    shape: [batch, rows, columns, inner],
    strides: [image.strides[0] as number, stride * rowStride, stride * columnStride, 1],
    offset: image.offset - frame[0] * rowStride - frame[1] * columnStride,
  };
  const places = [...Array(kernel * kernel).keys()];
  const packed = { features, segments: places.length, inner, dtype: lowering.elementType, geglu: false };
  lowering.postpone({
    name: spec.name,
    value: result,
    shape: permuted(resultShape(spec.name, [batch, rows, columns, features]), [0, 3, 1, 2]),
    x: first,
    weight: lowering.weight(weight, packed),
    distances: places.map(
      (place) => Math.floor(place / kernel) * rowStride + (place % kernel) * columnStride,
    ),
    bias: bias && lowering.view(bias),
    shift: undefined,
    activation: 'none',
    residual: undefined,
  });
}

/** An image in the run's type, channels last, with readable zeros around it. */
function framed(lowering: Lowering, x: Value, frame: Frame): View {
  const image = permuted(lowering.view(x), channelsLast);
  const ready = image.dtype === lowering.elementType && isInnerDense(image);
  if (ready && (frame.every((width) => width === 0) || lowering.hasFrame(image, frame))) {
    return image;
  }
  const [batch, channels, rows, columns] = x.shape as [number, number, number, number];
  const copy = lowering.image(
    `${x.name}/framed`,
    [batch, channels, rows, columns],
    frame,
    lowering.elementType,
  );
  lowering.emit('Copy', copy.storage.name, { x: image, y: copy });
  return copy;
}

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
    x: lowering.dense(x, lowering.elementType),
    weight: lowering.weight(weight, packed),
    distances: [0],
    bias: bias && lowering.view(bias),
    shift: undefined,
    activation: geglu ? 'geglu' : 'none',
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
  const free = !pending.shift && !pending.residual && pending.activation === 'none';
  if (!free || shape.length !== 4 || shape[2] !== 1 || shape[3] !== 1) return undefined;
  const given = reshaped(lowering.view(other), shape.slice(0, 2));
  if (given?.dtype !== 'float32' || !isInnerDense(given)) return undefined;
  // The same for all images where it is there once.
  return { ...pending, shift: broadcastTo(given, pending.value.shape.slice(0, 2)) };
}

function withResidual(lowering: Lowering, pending: Pending, other: Value): Pending | undefined {
  if (pending.residual || !sameShape(other.shape, pending.value.shape)) return undefined;
  const place = lowering.placement(pending);
  const residual = lowering.view(other);
  const seen = place && placed(residual, place);
  return seen && isInnerDense(seen) ? { ...pending, residual } : undefined;
}

/** An activation becomes part of the product that it is of, where it can. */
export function activateProduct(
  lowering: Lowering,
  operation: Operation,
  activation: ProductActivation,
): boolean {
  const pending = lowering.pendingOf(operation.spec.inputs[0] as Value);
  if (!pending || pending.residual || pending.activation !== 'none') return false;
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
  if (!lowering.placement(next)) return false;
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

/** Each row and column twice: the image at every second row and column, four times. */
export function lowerDouble(lowering: Lowering, operation: Operation): void {
  const [x] = operation.spec.inputs as [Value];
  const [result] = operation.outputs as [Value];
  const source = permuted(lowering.view(x), channelsLast);
  const image = permuted(lowering.allocate(result, source.dtype, channelsLast), channelsLast);
  for (const row of [0, 1]) {
    for (const column of [0, 1]) {
      lowering.emit('Copy', operation.spec.name, { x: source, y: everySecond(image, row, column) });
    }
  }
}

function everySecond(image: View, row: number, column: number): View {
  const from = sliced(sliced(image, 1, row, image.shape[1] as number), 2, column, image.shape[2] as number);
  const [batch, rows, columns, channels] = image.shape as [number, number, number, number];
  const [images, down, right, across] = image.strides as [number, number, number, number];
  return {
    ...from,
    shape: [batch, rows / 2, columns / 2, channels],
    strides: [images, 2 * down, 2 * right, across],
  };
}

function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}
