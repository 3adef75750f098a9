import type { OperatorName } from '../../graph/operators.js';
import {
  floatAttribute,
  intAttribute,
  intsAttribute,
  type Operation,
  type Value,
} from '../../graph/value.js';
import { elementCount } from '../../tensor/tensor.js';
import { lowerAllReduceSum } from './all-reduce-sum.js';
import { lowerAttention, lowerBiasedAttention, lowerCausalAttention } from './attention.js';
import { lowerCachedAttention } from './cached-attention.js';
import type { CommandName } from './command.js';
import { lowerConv, lowerDouble } from './convolutions.js';
import {
  lowerGatherBands,
  lowerHalo,
  lowerPatchAttention,
  lowerPatchGroupNorm,
  lowerPatchGroupNormHalo,
} from './exchanges.js';
import { channelsLast, type Lowering } from './lowering.js';
import type { ModulatedNorm } from './modulated-norms.js';
import {
  activateProduct,
  addToProduct,
  gateProduct,
  lowerBinary,
  lowerLinear,
  perImage,
  viewProduct,
} from './products.js';
import { lowerRotary } from './rotary.js';
import { lowerSequenceAttention } from './sequence-attention.js';
import { orderOf, permuted, reshaped, sameElements, sliced, type View } from './view.js';

type Lower = (lowering: Lowering, operation: Operation) => void;

/** What each operator becomes. */
export const lowerings: Readonly<Partial<Record<OperatorName, Lower>>> = {
  Add: (lowering, operation) => {
    if (!addToProduct(lowering, operation)) lowerBinary(lowering, operation, 'Add');
  },
  Mul: (lowering, operation) => {
    if (!gateProduct(lowering, operation)) lowerBinary(lowering, operation, 'Multiply');
  },
  Conv: lowerConv,
  Linear: lowerLinear,
  Attention: lowerAttention,
  BiasedAttention: lowerBiasedAttention,
  MultiHeadAttention: lowerCausalAttention,
  GroupNorm: lowerGroupNorm,
  LayerNormalization: (lowering, operation) => lowerNorm(lowering, operation, 'LayerNorm'),
  SimplifiedLayerNormalization: (lowering, operation) => lowerNorm(lowering, operation, 'RmsNorm'),
  QuickGelu: (lowering, operation) => {
    const alpha = floatAttribute(operation.spec, 'alpha');
    const silu = alpha === 1;
    if (activateProduct(lowering, operation, silu ? 'silu' : 'quick_gelu')) return;
    lowerUnary(lowering, operation, silu ? 'Silu' : 'QuickGelu');
  },
  Gelu: (lowering, operation) => {
    const exact = operation.spec.attributes?.approximate?.value === 'none';
    if (activateProduct(lowering, operation, exact ? 'gelu' : 'gelu_tanh')) return;
    lowerUnary(lowering, operation, exact ? 'Gelu' : 'GeluTanh');
  },
  Sin: (lowering, operation) => lowerUnary(lowering, operation, 'Sine'),
  Cos: (lowering, operation) => lowerUnary(lowering, operation, 'Cosine'),
  RotaryEmbedding: lowerRotary,
  Gather: (lowering, operation) => {
    const [table, ids] = operation.spec.inputs as [Value, Value];
    const operands = { table: lowering.view(table), ids: lowering.view(ids) };
    const y = lowering.allocate(operation.outputs[0] as Value, lowering.elementType);
    lowering.emit('Gather', operation.spec.name, { ...operands, y });
  },
  GatherND: (lowering, operation) => {
    const [x, positions] = operation.spec.inputs as [Value, Value];
    const operands = { x: lowering.view(x), positions: lowering.view(positions) };
    const y = lowering.allocate(operation.outputs[0] as Value, 'float32');
    lowering.emit('PickTokens', operation.spec.name, { ...operands, y });
  },
  Resize: lowerDouble,
  HaloExchange: lowerHalo,
  PatchGroupNorm: lowerPatchGroupNorm,
  PatchGroupNormHalo: lowerPatchGroupNormHalo,
  PatchAttention: lowerPatchAttention,
  GatherBands: lowerGatherBands,
  CachedAttention: lowerCachedAttention,
  SequenceAttention: lowerSequenceAttention,
  AllReduceSum: lowerAllReduceSum,
  Concat: (lowering, operation) => {
    const axis = axisOf(operation);
    const [result] = operation.outputs as [Value];
    const parts = operation.spec.inputs.map((value) => lowering.view(value as Value));
    const order = orderOf(parts[0] as View);
    const y = lowering.placeOf(result) ?? lowering.allocate(result, lowering.typeOf(operation), order);
    let start = 0;
    for (const part of parts) {
      const end = start + (part.shape[axis] as number);
      const place = sliced(y, axis, start, end);
      start = end;
      if (!sameElements(part, place)) lowering.emit('Copy', operation.spec.name, { x: part, y: place });
    }
  },
  Reshape: (lowering, operation) => {
    const [result] = operation.outputs as [Value];
    const change = (view: View) => reshaped(view, result.shape);
    if (viewProduct(lowering, operation, change)) return;
    const view = lowering.view(operation.spec.inputs[0] as Value);
    lowering.set(result, lowering.reshape(view, operation.spec.name, result.shape));
  },
  Transpose: (lowering, operation) => {
    const order = intsAttribute(operation.spec, 'perm');
    const change = (view: View) => permuted(view, order);
    if (viewProduct(lowering, operation, change)) return;
    const view = lowering.view(operation.spec.inputs[0] as Value);
    lowering.set(operation.outputs[0] as Value, change(view));
  },
  Cast: (lowering, operation) => {
    if (viewProduct(lowering, operation, (view) => view)) return;
    const x = lowering.view(operation.spec.inputs[0] as Value);
    const y = lowering.allocate(operation.outputs[0] as Value, 'float32', orderOf(x));
    lowering.emit('Copy', operation.spec.name, { x, y });
  },
  Slice: (lowering, operation) => {
    const [x, ...bounds] = operation.spec.inputs;
    const [start, end, axis] = bounds.map((value) => lowering.numbers(value)[0]);
    const view = lowering.view(x as Value);
    lowering.set(operation.outputs[0] as Value, sliced(view, axis as number, start as number, end as number));
  },
  Split: (lowering, operation) => {
    const axis = axisOf(operation);
    const view = lowering.view(operation.spec.inputs[0] as Value);
    for (const [index, part] of operation.outputs.entries()) {
      const size = part.shape[axis] as number;
      lowering.set(part, sliced(view, axis, index * size, (index + 1) * size));
    }
  },
};

/** x `[batch, channels, rows, columns]`, scale and shift. */
function lowerGroupNorm(lowering: Lowering, operation: Operation): void {
  const { spec, outputs } = operation;
  const [x, scale, shift] = spec.inputs as [Value, Value, Value];
  const groups = intAttribute(spec, 'groups');
  const image = permuted(lowering.view(x), channelsLast);
  const [batch, rows] = image.shape as [number, number];
  const dense = image.strides[3] === 1 ? image : lowering.copied(image, x.name);
  const sums = lowering.rowSums(`${spec.name}/sums`, batch * rows * groups);
  const y = permuted(lowering.allocate(outputs[0] as Value, dense.dtype, channelsLast), channelsLast);
  const columnSums = lowering.columnSums(x);
  const operands = {
    x: dense,
    scale: lowering.view(scale),
    shift: lowering.view(shift),
    columnSums,
    sums,
    y,
  };
  const attributes = {
    groups,
    epsilon: floatAttribute(spec, 'epsilon'),
    silu: intAttribute(spec, 'activation'),
    floatSums: intAttribute(spec, 'float_sums'),
  };
  lowering.emit('GroupNorm', spec.name, operands, attributes);
}

/** A norm of tokens, scaled and shifted by what is of their image. */
export function lowerModulatedNorm(lowering: Lowering, { norm, sum, scale, shift }: ModulatedNorm): void {
  const [{ shape }] = sum.outputs as [Value];
  lowerNorm(lowering, { ...norm, outputs: sum.outputs }, 'LayerNorm', {
    imageScale: perImage(lowering, scale, shape),
    imageShift: perImage(lowering, shift, shape),
  });
}

function lowerNorm(
  lowering: Lowering,
  operation: Operation,
  op: 'LayerNorm' | 'RmsNorm',
  modulation: Readonly<Record<string, View | undefined>> = {},
): void {
  const { spec, outputs } = operation;
  const [x, scale, shift] = spec.inputs as [Value, Value, Value?];
  const features = x.shape.at(-1) as number;
  // Rows at regular distances, wherever the operand lies.
  const asRows = (view: View) =>
    lowering.reshape(view, spec.name, [elementCount(x.shape) / features, features]);
  const operands = {
    x: asRows(lowering.dense(x)),
    scale: lowering.view(scale),
    shift: shift && lowering.view(shift),
    ...modulation,
    y: asRows(lowering.allocate(outputs[0] as Value, lowering.typeOf(operation))),
  };
  lowering.emit(op, spec.name, operands, { epsilon: floatAttribute(spec, 'epsilon') });
}

function lowerUnary(lowering: Lowering, operation: Operation, op: CommandName): void {
  const x = lowering.view(operation.spec.inputs[0] as Value);
  const y = lowering.allocate(operation.outputs[0] as Value, lowering.typeOf(operation), orderOf(x));
  lowering.emit(op, operation.spec.name, { x, y });
}

function axisOf({ spec, outputs }: Operation): number {
  const axis = intAttribute(spec, 'axis');
  return axis < 0 ? (outputs[0] as Value).shape.length + axis : axis;
}
