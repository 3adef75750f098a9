import { sum } from '../../base/numbers.js';
import { elementCount, type Shape } from '../../tensor/tensor.js';
import type { NodeSpec, Operation, Value } from '../graph.js';

/** The kinds of computation that multiply matrices, and everything else. */
export const computeKinds = ['conv', 'linear', 'attention', 'other'] as const;
export type ComputeKind = (typeof computeKinds)[number];

/** What one operation takes. */
export interface OperationCost {
  readonly kind: ComputeKind;
  /** Multiply-accumulates of matrix products; 0 for `other`, which memory limits. */
  readonly macs: number;
  /** Bytes of operands read and results written, each once; 0 where only a shape changes. */
  readonly bytes: number;
  /** Those of them that are weights. */
  readonly weightBytes: number;
}

/** Bytes of a value's elements. */
export function byteLength({ dtype, shape }: Value): number {
  const itemBytes = dtype === 'int64' ? 8 : dtype === 'uint8' ? 1 : 4;
  return itemBytes * elementCount(shape);
}

/**
 * Counts as profilers do (torchprofile, fvcore): products of convolutions, linear layers and both products of an
 * attention; no biases, norms, activations or sums.
 */
export function operationCost(operation: Operation): OperationCost {
  const kind = kindOfOperator(operation.spec.op);
  return {
    kind,
    macs: macs(kind, operation),
    bytes: bytesMoved(operation),
    weightBytes: weightBytes(operation),
  };
}

/** Multiply-accumulates by kind of layer. */
export function macsByKind(operations: readonly Operation[]): Record<ComputeKind, number> {
  const total: Record<ComputeKind, number> = { conv: 0, linear: 0, attention: 0, other: 0 };
  for (const operation of operations) {
    const cost = operationCost(operation);
    total[cost.kind] += cost.macs;
  }
  return total;
}

const kinds: Readonly<Record<string, ComputeKind>> = {
  Conv: 'conv',
  Linear: 'linear',
  MatMul: 'attention',
  Attention: 'attention',
  PatchAttention: 'attention',
  SequenceAttention: 'attention',
  CachedAttention: 'attention',
  MultiHeadAttention: 'attention',
};

/** The kind of an ONNX operator. */
export function kindOfOperator(operator: string): ComputeKind {
  return kinds[operator] ?? 'other';
}

function macs(kind: ComputeKind, { spec, outputs }: Operation): number {
  const [first, second] = spec.inputs.map((value) => value?.shape ?? []) as [Shape, Shape];
  const results = elementCount(outputs[0]?.shape ?? []);
  switch (kind) {
    case 'conv':
      // Weight [out, in, k, k]: each result is a sum over all but the first.
      return results * elementCount(second.slice(1));
    case 'linear':
      // Weight [out, in] for every token of x [..., in].
      return elementCount(first.slice(0, -1)) * elementCount(second);
    case 'attention':
      if (spec.op === 'MatMul') return results * (first.at(-1) as number);
      // Query [batch, tokens, inner] against key [batch, others, inner], then the same against the values.
      return 2 * elementCount(first) * attendedTokens(spec, second);
    case 'other':
      return 0;
  }
}

/** Tokens that each query is compared with: those of the whole image where a band attends. */
function attendedTokens({ attributes }: NodeSpec, keys: Shape): number {
  const tokens = attributes?.tokens;
  if (tokens?.type === 'int') return tokens.value;
  return tokens?.type === 'ints' ? sum(tokens.value) : (keys[1] as number);
}

function bytesMoved({ spec, outputs }: Operation): number {
  if (spec.op === 'Reshape') return 0;
  const operands = spec.inputs.flatMap((value) => (value ? [value] : []));
  return sum([...operands, ...outputs].map(byteLength));
}

function weightBytes({ spec }: Operation): number {
  const weights = spec.inputs.filter((value) => value?.phase === 'constant');
  return sum(weights.map((value) => (value ? byteLength(value) : 0)));
}
