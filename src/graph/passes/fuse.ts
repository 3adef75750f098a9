import { int, type Operation, type Value } from '../value.js';

/**
 * Puts sums `linear(x) + y` into the layer itself (input `residual` of Linear in native/ops), where the
 * product has no other reader: the result passes through memory once. `outputs` are values that the program
 * returns.
 */
export function fuseResiduals(operations: readonly Operation[], outputs: readonly Value[]): Operation[] {
  const readers = countReaders(operations, outputs);
  const products = new Map<string, Operation>();
  const fused = new Set<Operation>();
  const result = operations.map((operation) => {
    const [product] = operation.outputs;
    if (product && isPlainLinear(operation) && readers.get(product.name) === 1) {
      products.set(product.name, operation);
    }
    const pair = operation.spec.op === 'Add' ? matchSum(operation, products) : undefined;
    if (!pair) return operation;
    fused.add(pair.linear);
    return withResidual(pair.linear, pair.residual, operation);
  });
  return result.filter((operation) => !fused.has(operation));
}

function countReaders(operations: readonly Operation[], outputs: readonly Value[]): Map<string, number> {
  const readers = new Map<string, number>();
  const read = [...operations.flatMap(({ spec }) => spec.inputs), ...outputs];
  for (const value of read) {
    if (value) readers.set(value.name, (readers.get(value.name) ?? 0) + 1);
  }
  return readers;
}

function isPlainLinear({ spec }: Operation): boolean {
  const { activation, residual } = spec.attributes ?? {};
  return spec.op === 'Linear' && activation?.value === 0 && residual?.value === 0;
}

/**
 * The layer that an addition has as one term, and the other term; undefined where there is none of the same
 * shape.
 */
function matchSum(
  { spec }: Operation,
  products: ReadonlyMap<string, Operation>,
): { linear: Operation; residual: Value } | undefined {
  const [a, b] = spec.inputs as [Value, Value];
  if (a.shape.length !== b.shape.length || a.shape.some((size, axis) => size !== b.shape[axis]))
    return undefined;
  for (const [product, residual] of [
    [a, b],
    [b, a],
  ] as const) {
    const linear = products.get(product.name);
    if (linear) return { linear, residual };
  }
  return undefined;
}

/** The layer in the place and with the result of the addition. */
function withResidual({ spec }: Operation, residual: Value, sum: Operation): Operation {
  const [x, weight, bias] = spec.inputs;
  const attributes = { ...spec.attributes, residual: int(1) };
  return { ...sum, spec: { ...spec, name: sum.spec.name, inputs: [x, weight, bias, residual], attributes } };
}
