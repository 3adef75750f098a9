import { elementCount, type Shape } from './tensor.js';

/** Rows of images. */
export interface RowRange {
  readonly start: number;
  readonly rows: number;
}

/** Rows of images `[…, rows, columns]` of this shape, in an array of their own. */
export function cutRows(whole: Float32Array, shape: Shape, { start, rows }: RowRange): Float32Array {
  const { planes, total, columns } = layout(shape);
  const part = new Float32Array(planes * rows * columns);
  for (let plane = 0; plane < planes; plane++) {
    const from = (plane * total + start) * columns;
    part.set(whole.subarray(from, from + rows * columns), plane * rows * columns);
  }
  return part;
}

/** Writes rows that `cutRows` could have cut back into images of this shape. */
export function putRows(
  whole: Float32Array,
  shape: Shape,
  { start, rows }: RowRange,
  part: Float32Array,
): void {
  const { planes, total, columns } = layout(shape);
  for (let plane = 0; plane < planes; plane++) {
    const from = plane * rows * columns;
    whole.set(part.subarray(from, from + rows * columns), (plane * total + start) * columns);
  }
}

function layout(shape: Shape): { planes: number; total: number; columns: number } {
  const [total, columns] = shape.slice(-2) as [number, number];
  return { planes: elementCount(shape.slice(0, -2)), total, columns };
}
