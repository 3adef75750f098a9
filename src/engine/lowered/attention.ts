import { floatAttribute, intAttribute, type Operation, type Value } from '../../graph/value.js';
import type { Lowering } from './lowering.js';
import { broadcastTo, type View } from './view.js';

/** What an attention is of: `[batch, tokens, heads * size]` each, in the run's type. */
export interface Attended {
  readonly query: View;
  readonly key: View;
  readonly value: View;
}

/** An operation's query, key and value, its first three operands, with features next to each other. */
export function operandsOf(lowering: Lowering, { spec }: Operation): Attended {
  const [query, key, value] = spec.inputs as [Value, Value, Value];
  const type = lowering.elementType;
  return {
    query: lowering.dense(query, type),
    key: lowering.dense(key, type),
    value: lowering.dense(value, type),
  };
}

/** The operation's result: of the `heads` that its features are, without a mask. */
export function attend(lowering: Lowering, { spec, outputs }: Operation, operands: Attended): void {
  const heads = intAttribute(spec, 'heads');
  const y = lowering.allocate(outputs[0] as Value, operands.query.dtype);
  emitAttention(lowering, spec.name, operands, y, { heads, causal: false });
}

/** y = softmax(query key^T / sqrt(size of a head)) value. */
export function emitAttention(
  lowering: Lowering,
  name: string,
  operands: Attended,
  y: View,
  { heads, causal }: { readonly heads: number; readonly causal: boolean },
): void {
  const scale = 1 / Math.sqrt((y.shape[2] as number) / heads);
  lowering.emit('Attention', name, { ...operands, y }, { heads, scale, causal: causal ? 1 : 0 });
}

/** ONNX Runtime's attention, whose queries see only the tokens up to their own. */
export function lowerCausalAttention(lowering: Lowering, operation: Operation): void {
  const { spec, outputs } = operation;
  const operands = operandsOf(lowering, operation);
  const y = lowering.allocate(outputs[0] as Value, operands.query.dtype);
  emitAttention(lowering, spec.name, operands, y, {
    heads: intAttribute(spec, 'num_heads'),
    causal: true,
  });
}

/** With numbers added to the scores, by which tokens are hidden or positions told. */
export function lowerBiasedAttention(lowering: Lowering, operation: Operation): void {
  const { spec, outputs } = operation;
  const operands = operandsOf(lowering, operation);
  const heads = intAttribute(spec, 'heads');
  const [batch, tokens] = operands.query.shape as [number, number];
  const scores = [batch, heads, tokens, operands.key.shape[1] as number];
  const bias = broadcastTo(exact(lowering, spec.inputs[3] as Value), scores);
  const y = lowering.allocate(outputs[0] as Value, operands.query.dtype);
  const attributes = { heads, scale: floatAttribute(spec, 'scale'), causal: 0 };
  lowering.emit('Attention', spec.name, { ...operands, bias, y }, attributes);
}

/** In float32, converted once for all who read it. */
function exact(lowering: Lowering, value: Value): View {
  const view = lowering.view(value);
  if (view.dtype === 'float32') return view;
  const copy = lowering.copied(view, value.name, 'float32');
  lowering.set(value, copy);
  return copy;
}

/** Attention to operands that this rank has whole. */
export function lowerAttention(lowering: Lowering, operation: Operation): void {
  attend(lowering, operation, operandsOf(lowering, operation));
}
