import type { GraphPart } from '../../graph/graph.js';
import { intsAttribute, type Operation, type Value } from '../../graph/value.js';
import { everySecondSum, unitsOf } from './column-sums.js';
import type { Multiplication } from './pending.js';
import { everySecond, type View } from './view.js';

/**
 * Where a 3x3 convolution sees every row and column twice, four products with 2x2 places do, one for each
 * second row and column of the result: weights that meet the same pixel are added before.
 */
export interface Doubling {
  /** Names of such images, also between rows of other ranks. */
  readonly images: ReadonlySet<string>;
  /** By name of those that only such convolutions read what they are made of: they are not computed. */
  readonly sources: ReadonlyMap<string, Value>;
}

export function findDoubling({ operations, outputs }: GraphPart): Doubling {
  const images = new Set<string>();
  const sources = new Map<string, Value>();
  for (const { spec, outputs: results } of operations) {
    const [x] = spec.inputs as [Value];
    const [result] = results as [Value];
    if (spec.op === 'Resize') {
      images.add(result.name);
      sources.set(result.name, x);
    }
    if (spec.op === 'HaloExchange' && images.has(x.name) && !isCut(x)) images.add(result.name);
  }
  for (const operation of operations) {
    for (const [place, value] of operation.spec.inputs.entries()) {
      if (value && (place > 0 || !seesDoubled(operation))) sources.delete(value.name);
    }
  }
  for (const { name } of outputs) sources.delete(name);
  return { images, sources };
}

/**
 * Whether the whole image that this is a band of lost its last row, which was there twice: what a rank alone
 * computes as it is, all ranks do.
 */
function isCut({ region }: Value): boolean {
  return region !== undefined && region.bands.total % 2 === 1;
}

/** Whether this is a convolution of the kind that products of quarters of its result can compute. */
export function seesDoubled({ spec }: Operation): boolean {
  if (spec.op !== 'Conv') return false;
  const [, weight] = spec.inputs as [Value, Value];
  return weight.shape[2] === 3 && intsAttribute(spec, 'strides')[0] === 1;
}

/** Of each place in a row of a 3x3 convolution, for even and for odd ones, where 2x2 places have it. */
const placeOf = [
  [0, 1, 1],
  [0, 0, 1],
] as const;

/** Factors `[2x2 places, 3x3 places]` for every second row and column from these on. */
function mixOf(row: number, column: number): readonly number[] {
  const places = [0, 1, 2];
  return [0, 1].flatMap((down) =>
    [0, 1].flatMap((right) =>
      places.flatMap((y) =>
        places.map((x) => (placeOf[row]?.[y] === down && placeOf[column]?.[x] === right ? 1 : 0)),
      ),
    ),
  );
}

/** What a convolution reads: an image `[batch, rows, columns, channels]` from the first place on. */
export interface DoubledOperand {
  readonly image: View;
  /** Whether rows and columns are there twice, or once. */
  readonly times: 1 | 2;
}

/** The weight with these factors. */
type MixedWeight = (mix: readonly number[]) => View;

/** Products of a convolution whose result has these positions. */
export function doubledProducts(
  { image, times }: DoubledOperand,
  result: { readonly positions: readonly number[]; readonly features: number },
  mixed: MixedWeight,
): Multiplication {
  const [batch, rows, columns] = result.positions as [number, number, number];
  const [down, right] = image.strides.slice(1) as [number, number];
  const corners = [0, 1].flatMap((row) => [0, 1].map((column) => ({ row, column })));
  const products = corners.map(({ row, column }) => {
    const x: View = {
      ...image,
      shape: [batch, rows / 2, columns / 2, image.shape[3] as number],
      strides: [image.strides[0] as number, times * down, times * right, 1],
      offset: image.offset + row * down + column * right,
    };
    // Of rows that are there twice the second place of odd ones is two rows on.
    const next = (odd: number) => (times === 2 ? 1 + odd : 1);
    const distances = [0, 1].flatMap((y) =>
      [0, 1].map((z) => y * next(row) * down + z * next(column) * right),
    );
    return { row, column, x, weight: mixed(mixOf(row, column)), distances };
  });
  return {
    features: result.features,
    fits: (positions) => positions.every((size, axis) => size === result.positions[axis]),
    units: (positions) => {
      const ofHalf = unitsOf(positions.with(2, (positions[2] as number) / 2));
      return ofHalf && 2 * ofHalf;
    },
    emit: (emit, name, _positions, { residual, y, columnSums, ...finish }, activation) => {
      for (const { row, column, x, weight, distances } of products) {
        const part = (view: View) => everySecond(view, row, column);
        const results = {
          residual: residual && part(residual),
          y: part(y),
          columnSums: columnSums && everySecondSum(columnSums, row, column),
        };
        const operands = { x, weight, ...finish, ...results };
        emit('Product', name, operands, { distances, activation });
      }
    },
  };
}
