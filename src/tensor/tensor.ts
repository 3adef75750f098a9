/** Element types that distri computes with. Weights on disk have more: see checkpoint/safetensors.ts. */
export interface TensorData {
  /** All that is computed. */
  float32: Float32Array;
  /** The upper halves of float32, as devices hand them on to each other. */
  bfloat16: Uint16Array;
  /** Token ids. */
  int64: BigInt64Array;
  /** Pixels. */
  uint8: Uint8Array;
}

/** Names of element types, as numpy has them. */
export type DType = keyof TensorData;

/** Lengths of the dimensions, the outermost first; empty for a scalar. */
export type Shape = readonly number[];

/** A dense row-major array. `data.length` is the product of `shape`. */
export interface Tensor<T extends DType = DType> {
  /** Says which typed array `data` is. */
  readonly dtype: T;
  /** The last dimension's elements are next to each other. */
  readonly shape: Shape;
  /** All elements; not to be written to. */
  readonly data: TensorData[T];
}

export function elementCount(shape: Shape): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

export function float32(shape: Shape, data?: Float32Array): Tensor<'float32'> {
  return { dtype: 'float32', shape, data: checked(data ?? new Float32Array(elementCount(shape)), shape) };
}

export function int64(shape: Shape, data?: BigInt64Array): Tensor<'int64'> {
  return { dtype: 'int64', shape, data: checked(data ?? new BigInt64Array(elementCount(shape)), shape) };
}

export function uint8(shape: Shape, data?: Uint8Array): Tensor<'uint8'> {
  return { dtype: 'uint8', shape, data: checked(data ?? new Uint8Array(elementCount(shape)), shape) };
}

function checked<A extends { length: number }>(data: A, shape: Shape): A {
  if (data.length !== elementCount(shape)) {
    throw new RangeError(
      `shape [${shape.join(', ')}] needs ${elementCount(shape)} elements, not ${data.length}`,
    );
  }
  return data;
}
