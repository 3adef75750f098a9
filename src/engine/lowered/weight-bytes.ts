import { readSlice } from '../../checkpoint/formats/slices.js';
import { storedElementTypes } from '../../graph/value.js';
import { type ElementType, itemBytes } from '../../tensor/element-type.js';
import { elementCount } from '../../tensor/tensor.js';
import type { PackedForm, UnpackedWeight, WeightBytes } from '../addon.js';
import type { PackedWeight } from './command.js';
import type { WeightContent } from './shared-memory.js';

/** A weight that a product reads. */
export type ProductWeight = WeightContent & { readonly packed: PackedWeight };

export function isPacked(weight: WeightContent): weight is ProductWeight {
  return weight.packed !== undefined;
}

/** Of the weight as it is. */
export function bytesOfWeight({ value }: WeightContent): number {
  return itemBytes[value.dtype] * elementCount(value.shape);
}

export function formOf({ packed }: ProductWeight): PackedForm {
  return { ...packed, dtype: floats(packed.dtype) };
}

/** A weight for the addon to pack. */
export async function readUnpacked(weight: ProductWeight): Promise<UnpackedWeight> {
  return {
    bytes: bytesOfWeight(weight),
    dtype: floats(weight.value.dtype),
    packed: formOf(weight),
    ...(await readWeight(weight)),
  };
}

function floats(dtype: ElementType): 'float32' | 'bfloat16' {
  if (dtype === 'float32' || dtype === 'bfloat16') return dtype;
  throw new Error(`no product is of ${dtype}`);
}

/** Where the bytes of a weight are; pieces of one are put together. */
export async function readWeight({ value, content }: WeightContent): Promise<WeightBytes> {
  switch (content.kind) {
    case 'weight': {
      const { dtype, file, offset } = content.entry;
      if (storedElementTypes[dtype] !== value.dtype) throw new Error(`${value.name} is of type ${dtype}`);
      return { file, offset };
    }
    case 'slice':
      return { data: (await readSlice(content.slice)).data };
    case 'constant':
      return { data: content.tensor.data };
  }
}
