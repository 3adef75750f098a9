/** Element types that distri computes with. Weights on disk have more: see checkpoint/safetensors.ts. */
export interface TensorData {
  float32: Float32Array;
  int64: BigInt64Array;
  uint8: Uint8Array;
}

export type DType = keyof TensorData;

export type Shape = readonly number[];

/** A dense row-major array. `data.length` is the product of `shape`. */
export interface Tensor<T extends DType = DType> {
  readonly dtype: T;
  readonly shape: Shape;
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
