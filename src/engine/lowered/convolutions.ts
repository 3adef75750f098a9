import { intsAttribute, type Operation, type Value } from '../../graph/value.js';
import { columnTiles, worthTiles } from './column-tiles.js';
import { doubledProducts, seesDoubled } from './doubling.js';
import { channelsLast, type Frame, type Lowering } from './lowering.js';
import { type Multiplication, oneProduct, resultShape } from './pending.js';
import { everySecond, isInnerDense, permuted, type View } from './view.js';

/** The sides that a convolution reads beyond its operand. */
export function frameOf(operation: Operation): Frame {
  return intsAttribute(operation.spec, 'pads') as unknown as Frame;
}

/** x `[batch, in, rows, columns]`, weight `[out, in, k, k]`, bias. */
export function lowerConv(lowering: Lowering, operation: Operation): void {
  const { spec, outputs } = operation;
  const bias = spec.inputs[2];
  const [result] = outputs as [Value];
  const [batch, features, rows, columns] = result.shape as [number, number, number, number];
  lowering.postpone({
    name: spec.name,
    value: result,
    shape: permuted(resultShape(spec.name, [batch, rows, columns, features]), [0, 3, 1, 2]),
    multiplication: multiplicationOf(lowering, operation),
    bias: bias && lowering.view(bias),
    shift: undefined,
    activation: 'none',
    gate: undefined,
    residual: undefined,
  });
}

function multiplicationOf(lowering: Lowering, operation: Operation): Multiplication {
  const { spec, outputs } = operation;
  const [x, weight] = spec.inputs as [Value, Value];
  const [batch, features, rows, columns] = (outputs[0] as Value).shape as [number, number, number, number];
  const [, inner, kernel] = weight.shape as [number, number, number];
  const frame = frameOf(operation);
  const result = { positions: [batch, rows, columns], features };
  const packed = { features, inner, dtype: lowering.elementType, geglu: false };
  const mixed = (segments: number) => (mix: readonly number[]) =>
    lowering.weight(weight, { ...packed, segments, mix });
  const { images, sources } = lowering.doubling;
  if (images.has(x.name) && seesDoubled(operation)) {
    const source = sources.get(x.name);
    const image = fromFirstPlace(framed(lowering, source ?? x, frame), frame);
    return doubledProducts({ image, times: source ? 1 : 2 }, result, mixed(4));
  }
  const image = fromFirstPlace(framed(lowering, x, frame), frame);
  const [, rowStride, columnStride] = image.strides as [number, number, number];
  const stride = intsAttribute(spec, 'strides')[0] as number;
  if (stride === 1 && kernel === 3 && worthTiles({ ...packed, columns })) {
    return columnTiles(image, result, mixed(3));
  }
  const places = [...Array(kernel * kernel).keys()];
  const first: View = {
    ...image,
    shape: [batch, rows, columns, inner],
    strides: [image.strides[0] as number, stride * rowStride, stride * columnStride, 1],
  };
  return oneProduct(
    first,
    lowering.weight(weight, { ...packed, segments: places.length }),
    places.map((place) => Math.floor(place / kernel) * rowStride + (place % kernel) * columnStride),
  );
}

/** An image together with its frame. */
function fromFirstPlace(image: View, [top, left, bottom, right]: Frame): View {
  const [batch, rows, columns, channels] = image.shape as [number, number, number, number];
  const [, down, across] = image.strides as [number, number, number];
  return {
    ...image,
    shape: [batch, top + rows + bottom, left + columns + right, channels],
    offset: image.offset - top * down - left * across,
  };
}

/** An image in the run's type, channels last, with readable zeros around it. */
function framed(lowering: Lowering, x: Value, frame: Frame): View {
  const image = permuted(lowering.view(x), channelsLast);
  const ready = image.dtype === lowering.elementType && isInnerDense(image);
  if (ready && (frame.every((width) => width === 0) || lowering.hasFrame(image, frame))) {
    return image;
  }
  const copy = lowering.image(`${x.name}/framed`, x.shape, frame, lowering.elementType);
  lowering.emit('Copy', copy.storage.name, { x: image, y: copy });
  return copy;
}

/** Each row and column twice: the image at every second row and column, four times. */
export function lowerDouble(lowering: Lowering, operation: Operation): void {
  const [x] = operation.spec.inputs as [Value];
  const [result] = operation.outputs as [Value];
  // Nobody reads it as it is.
  if (lowering.doubling.sources.has(result.name)) return;
  const source = permuted(lowering.view(x), channelsLast);
  const image = permuted(lowering.allocate(result, source.dtype, channelsLast), channelsLast);
  for (const [row, column] of [
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ] as const) {
    lowering.emit('Copy', operation.spec.name, { x: source, y: everySecond(image, row, column) });
  }
}
