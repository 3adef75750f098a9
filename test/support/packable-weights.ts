import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type { WeightContent } from '../../src/engine/lowered/shared-memory.js';
import type { Storage } from '../../src/engine/lowered/view.js';
import type { ElementType } from '../../src/tensor/element-type.js';

/** The tensors `[features, inner]` of a file as weights of linear layers that are computed in this type. */
export async function packableWeights(
  path: string,
  dtype: ElementType = 'bfloat16',
): Promise<Map<Storage, WeightContent>> {
  const { tensors } = await SafetensorsFile.open(path);
  return new Map(
    [...tensors.values()].map((entry): [Storage, WeightContent] => {
      const { name, shape, length } = entry;
      const [features, inner] = shape as [number, number];
      const value = {
        name,
        dtype: 'float32',
        shape,
        phase: 'step',
        region: undefined,
        layout: 'row_major',
      } as const;
      const packed = { features, segments: 1, inner, dtype, geglu: false };
      return [
        { name, kind: 'weight', bytes: length },
        { value, content: { kind: 'weight', entry }, packed },
      ];
    }),
  );
}
