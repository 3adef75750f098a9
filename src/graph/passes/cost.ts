import { sum } from '../../base/numbers.js';
import { type ComputeKind, findOperator } from '../operators.js';
import { byteLength, type Operation } from '../value.js';

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

/**
 * Counts as profilers do (torchprofile, fvcore): products of convolutions, linear layers and both products of
 * an attention; no biases, norms, activations or sums.
 */
export function operationCost(operation: Operation): OperationCost {
  const operator = findOperator(operation.spec.op);
  return {
    kind: kindOfOperator(operation.spec.op),
    macs: operator?.macs?.(operation) ?? 0,
    bytes: operator?.view ? 0 : bytesMoved(operation),
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

/** The kind of the operator of this name. */
export function kindOfOperator(operator: string): ComputeKind {
  return findOperator(operator)?.kind ?? 'other';
}

function bytesMoved({ spec, outputs }: Operation): number {
  const operands = spec.inputs.flatMap((value) => (value ? [value] : []));
  return sum([...operands, ...outputs].map(byteLength));
}

function weightBytes({ spec }: Operation): number {
  const weights = spec.inputs.filter((value) => value?.phase === 'constant');
  return sum(weights.map((value) => (value ? byteLength(value) : 0)));
}
