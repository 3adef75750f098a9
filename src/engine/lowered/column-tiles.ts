import type { ElementType } from '../../tensor/element-type.js';
import { itemBytes } from '../../tensor/element-type.js';
import type { Multiplication } from './pending.js';
import { denseView, sliced, type View } from './view.js';

/**
 * Winograd's F(4, 3) along columns: of six columns of an operand six combinations are multiplied instead of
 * twelve pairs, and make four columns of the result. Rows are summed as ever, so that a row's result depends
 * on nothing but the three rows that it sees. Combinations are native/device/cpu/column_tiles.cc's; the ones
 * of weights follow.
 *
 * The points are 0, these with either sign, and infinity. They are exact in float32, and results are off by
 * two thirds of what they are with 1 and 2.
 */
const near = 5 / 8;
const far = 3 / 2;

/** Of three weights their polynomial at a point, by the product of its distances from the other points. */
function weightsAt(point: number, other: number): readonly [number, number, number] {
  const distances = 2 * point ** 2 * (point ** 2 - other ** 2);
  return [1 / distances, point / distances, point ** 2 / distances];
}

const weightPoints = [
  [1 / (near * far) ** 2, 0, 0],
  weightsAt(near, far),
  weightsAt(-near, far),
  weightsAt(far, near),
  weightsAt(-far, near),
  [0, 0, 1],
] as const;
const tileColumns = 4;

/** Tiles that are multiplied at a time should stay in the second-level cache. */
const chunkBytes = 4 << 20;

/** Whether a convolution takes less time in tiles: not with few channels, nor in lower precision. */
export function worthTiles(convolution: {
  readonly dtype: ElementType;
  readonly features: number;
  readonly inner: number;
  readonly columns: number;
}): boolean {
  const { dtype, features, inner, columns } = convolution;
  return dtype === 'float32' && Math.min(features, inner) >= 32 && columns >= 2 * tileColumns;
}

/** Factors `[rows, 3x3 places]` of a point. */
function mixOf(point: readonly number[]): readonly number[] {
  const rows = [0, 1, 2];
  return rows.flatMap((row) => rows.flatMap((place) => (place === row ? point : [0, 0, 0])));
}

/** x `[batch, rows + 2, columns + 2, channels]`, of a 3x3 convolution whose result has these positions. */
export function columnTiles(
  x: View,
  result: { readonly positions: readonly number[]; readonly features: number },
  mixed: (mix: readonly number[]) => View,
): Multiplication {
  const { positions, features } = result;
  const [batch, rows, columns] = positions as [number, number, number];
  const [inner] = x.shape.slice(-1) as [number];
  const tiles = Math.ceil(columns / tileColumns);
  const weights = weightPoints.map((point) => mixed(mixOf(point)));
  const rowBytes = itemBytes.float32 * weights.length * batch * tiles * Math.max(inner, features);
  const chunk = Math.min(rows, Math.max(2, Math.floor(chunkBytes / rowBytes)));
  return {
    features,
    fits: (wanted) => wanted.every((size, axis) => size === positions[axis]),
    units: () => undefined,
    emit: (emit, name, _positions, { residual, y, ...finish }, activation) => {
      const dense = (what: string, count: number, channels: number) => {
        const shape = [weights.length, batch, count, tiles, channels];
        return denseView('arena', { name: `${name}/${what}`, dtype: 'float32', shape });
      };
      const operand = dense('tiles', chunk + 2, inner);
      const sums = dense('sums', chunk, features);
      for (let row = 0; row < rows; row += chunk) {
        const end = Math.min(row + chunk, rows);
        const split = sliced(operand, 2, 0, end - row + 2);
        const joined = sliced(sums, 2, 0, end - row);
        emit('SplitColumns', name, { x: sliced(x, 1, row, end + 2), y: split });
        for (const [point, weight] of weights.entries()) {
          const distances = [0, 1, 2].map((place) => place * (operand.strides[2] as number));
          const operands = { x: sliced(pick(split, point), 1, 0, end - row), weight, y: pick(joined, point) };
          emit('Product', name, operands, { distances, activation: 0 });
        }
        const part = (view: View) => sliced(view, 1, row, end);
        const finished = { ...finish, residual: residual && part(residual), y: part(y) };
        emit('JoinColumns', name, { x: joined, ...finished }, { activation });
      }
    },
  };
}

/** One of the first dimension, without it. */
function pick(view: View, index: number): View {
  const { shape, strides, offset } = sliced(view, 0, index, index + 1);
  return { ...view, shape: shape.slice(1), strides: strides.slice(1), offset };
}
