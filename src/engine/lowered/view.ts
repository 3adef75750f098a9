import { type ElementType, itemBytes } from '../../tensor/element-type.js';
import { elementCount, type Shape } from '../../tensor/tensor.js';

/** Memory for a value: where it comes from decides how long it lives. */
export interface Storage {
  /** Of the value that it was made for. */
  readonly name: string;
  /**
   * `arena`: within a call. `kept`: as long as the program. `input` and `output`: the caller's, for a call.
   * `weight`: read-only.
   */
  readonly kind: 'arena' | 'kept' | 'input' | 'output' | 'weight';
  readonly bytes: number;
}

/** A value in a storage, seen through strides. */
export interface View {
  readonly storage: Storage;
  readonly dtype: ElementType;
  readonly shape: Shape;
  /** Elements from one index of a dimension to the next; 0 where all are the same. */
  readonly strides: readonly number[];
  /** Elements from the start of the storage to the first. */
  readonly offset: number;
}

/** Strides of an array whose last dimension's elements are next to each other. */
export function denseStrides(shape: Shape): number[] {
  const strides = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) {
    strides[axis] = (strides[axis + 1] as number) * (shape[axis + 1] as number);
  }
  return strides;
}

/** A new dense value in a storage of its own. */
export function denseView(
  kind: Storage['kind'],
  { name, dtype, shape }: { readonly name: string; readonly dtype: ElementType; readonly shape: Shape },
): View {
  const storage: Storage = { name, kind, bytes: itemBytes[dtype] * elementCount(shape) };
  return { storage, dtype, shape, strides: denseStrides(shape), offset: 0 };
}

/** Whether two views of one shape are of the same memory, element by element. */
export function sameElements(a: View, b: View): boolean {
  const sameStrides = a.strides.every((stride, axis) => stride === b.strides[axis] || a.shape[axis] === 1);
  return a.storage === b.storage && a.dtype === b.dtype && a.offset === b.offset && sameStrides;
}

/** The dimensions in another order. */
export function permuted(view: View, order: readonly number[]): View {
  return {
    ...view,
    shape: order.map((axis) => view.shape[axis] as number),
    strides: order.map((axis) => view.strides[axis] as number),
  };
}

/** Elements `start` (inclusive) to `end` (exclusive) along an axis. */
export function sliced(view: View, axis: number, start: number, end: number): View {
  const offset = view.offset + start * (view.strides[axis] as number);
  return { ...view, shape: view.shape.with(axis, end - start), offset };
}

/** Of an image `[batch, rows, columns, channels]` every second row and column, from these on. */
export function everySecond(image: View, row: number, column: number): View {
  const from = sliced(sliced(image, 1, row, image.shape[1] as number), 2, column, image.shape[2] as number);
  const [batch, rows, columns, channels] = image.shape as [number, number, number, number];
  const [images, down, right, across] = image.strides as [number, number, number, number];
  return {
    ...from,
    shape: [batch, rows / 2, columns / 2, channels],
    strides: [images, 2 * down, 2 * right, across],
  };
}

/** Repeated along dimensions of 1 and along new ones in front; `shape` is what it becomes. */
export function broadcastTo(view: View, shape: Shape): View {
  const added = shape.length - view.shape.length;
  const strides = shape.map((size, axis) => {
    const own = view.shape[axis - added] ?? 1;
    if (own !== size && own !== 1) {
      throw new Error(`[${view.shape.join(', ')}] can't be repeated to [${shape.join(', ')}]`);
    }
    return own === 1 && size !== 1 ? 0 : ((view.strides[axis - added] as number | undefined) ?? 0);
  });
  return { ...view, shape, strides };
}

/** The same elements in another shape; undefined where only a copy has them at regular distances. */
export function reshaped(view: View, shape: Shape): View | undefined {
  const strides: number[] = [];
  const old = view.shape.flatMap((size, axis) =>
    size === 1 ? [] : [{ size, stride: view.strides[axis] as number }],
  );
  let axis = 0;
  // Groups of old dimensions and groups of new ones with as many elements; the old ones have to be one.
  for (let first = 0; first < shape.length; ) {
    let last = first + 1;
    let wanted = shape[first] as number;
    if (wanted === 1) {
      strides.push(0);
      first = last;
      continue;
    }
    const group = old[axis++];
    if (group === undefined) return undefined;
    let { size, stride } = group;
    while (size !== wanted) {
      if (size < wanted) {
        const next = old[axis++];
        if (next === undefined || stride !== next.size * next.stride) return undefined;
        size *= next.size;
        stride = next.stride;
      } else {
        const more = shape[last++];
        if (more === undefined) return undefined;
        wanted *= more;
      }
    }
    const inner = denseStrides(shape.slice(first, last));
    strides.push(...inner.map((distance) => distance * stride));
    first = last;
  }
  return axis === old.length ? { ...view, shape, strides: withOnes(shape, strides) } : undefined;
}

/** Dimensions of 1 lie around what is inside of them, so that `orderOf` leaves them in their places. */
function withOnes(shape: Shape, strides: readonly number[]): number[] {
  const complete = [...strides];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1) continue;
    complete[axis] = (complete[axis + 1] ?? 1) * (shape[axis + 1] ?? 1);
  }
  return complete;
}

/** The dimensions as they lie in memory, the outermost first. */
export function orderOf({ shape, strides }: View): number[] {
  return shape.map((_, axis) => axis).sort((a, b) => (strides[b] as number) - (strides[a] as number));
}

/** Whether the elements of the last dimension are next to each other. */
export function isInnerDense({ shape, strides }: View): boolean {
  return shape.at(-1) === 1 || strides.at(-1) === 1;
}
