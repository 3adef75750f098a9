import type { GraphPart } from '../../graph/graph.js';
import type { OperatorName } from '../../graph/operators.js';
import type { Value } from '../../graph/value.js';
import type { Shape } from '../../tensor/tensor.js';
import { denseView, sliced, type View } from './view.js';

/**
 * Sums of columns: a product that a norm by groups follows sums its results while they are in the cache, so
 * that the norm need not read them twice. A unit of columns is never cut, whatever is divided among threads
 * and ranks, and is added in its order: bits depend on neither. As native/device/cpu/column_sums.h has it,
 * units are of at most 32 columns; shorter ones than 8 would be as long to read as what they sum.
 */
const unitColumns = [32, 16, 8] as const;

const norms: ReadonlySet<string> = new Set<OperatorName>([
  'GroupNorm',
  'PatchGroupNorm',
  'PatchGroupNormHalo',
]);

/** Names of the images that norms by groups read. */
export function normedImages({ operations }: GraphPart): ReadonlySet<string> {
  const read = operations.filter(({ spec }) => norms.has(spec.op)).map(({ spec }) => spec.inputs[0] as Value);
  return new Set(read.map(({ name }) => name));
}

/** Units of a row of so many columns, `[images, rows, columns]`; undefined where they can't be divided. */
export function unitsOf([, , columns]: Shape): number | undefined {
  const size = unitColumns.find((count) => (columns as number) % count === 0);
  return size && (columns as number) / size;
}

/** Memory `[images, rows, units, 2 features]` for sums and sums of squares. */
export function columnSums(
  name: string,
  [images, rows, units, features]: readonly [number, number, number, number],
): View {
  const shape = [images, rows, units, 2 * features];
  return denseView('arena', { name: `${name}/columns`, dtype: 'float32', shape });
}

/** Those of every second row and column, from these on: a row's even columns come before its odd ones. */
export function everySecondSum(sums: View, row: number, column: number): View {
  const [, rows, units] = sums.shape as [number, number, number];
  const half = sliced(sliced(sums, 1, row, rows), 2, (column * units) / 2, ((column + 1) * units) / 2);
  return {
    ...half,
    shape: half.shape.with(1, rows / 2),
    strides: half.strides.with(1, 2 * (sums.strides[1] as number)),
  };
}
