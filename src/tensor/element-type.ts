import type { DType } from './tensor.js';

/** What elements of a model's values can be: those of tensors, and types that only devices compute with. */
export type ElementType = DType | 'float16';

/** Bytes of one element. */
export const itemBytes: Readonly<Record<ElementType, number>> = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  uint8: 1,
};
