import { writeFile } from 'node:fs/promises';
import { encodeHeader, type StoredType } from '../../src/checkpoint/formats/safetensors.js';
import type { Shape } from '../../src/tensor/tensor.js';

export interface StoredTensor {
  readonly name: string;
  readonly dtype: StoredType;
  readonly shape: Shape;
  readonly bytes: Uint8Array;
}

/**
 * Writes a .safetensors file with tensors of any stored type; `writeSafetensors` only knows those distri
 * computes with.
 */
export async function writeStored(
  path: string,
  tensors: readonly StoredTensor[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  await writeFile(path, [encodeHeader(tensors, metadata), ...tensors.map(({ bytes }) => bytes)]);
}

export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
