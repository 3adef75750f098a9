import { cp, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { bytesOf, type StoredTensor, writeStored } from './stored-file.js';

const EXTENSION = '.safetensors';

/**
 * Copies a float32 checkpoint to the new folder `target` with its weights in half precision, named as
 * `save_pretrained(variant="fp16")` names them: `diffusion_pytorch_model.fp16.safetensors`.
 */
export async function makeFp16Checkpoint(source: string, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  for (const entry of await readdir(source, { withFileTypes: true })) {
    const from = join(source, entry.name);
    const to = join(target, entry.name);
    if (entry.isDirectory()) await makeFp16Checkpoint(from, to);
    else if (entry.name.endsWith(EXTENSION))
      await halve(from, `${to.slice(0, -EXTENSION.length)}.fp16${EXTENSION}`);
    else await cp(from, to);
  }
}

async function halve(from: string, to: string): Promise<void> {
  const file = await SafetensorsFile.open(from);
  const tensors: StoredTensor[] = [];
  for (const { name, dtype, shape } of file.tensors.values()) {
    const { data } = await file.read(name);
    const halves = data instanceof Float32Array;
    tensors.push({
      name,
      shape,
      dtype: halves ? 'F16' : dtype,
      bytes: halves ? bytesOf(toHalves(data)) : bytesOf(data),
    });
  }
  await writeStored(to, tensors, file.metadata);
}

/** Rounds to the nearest half, ties to even, as `torch.Tensor.half` does. */
export function toHalves(floats: Tensor<'float32'>['data']): Uint16Array {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  return Uint16Array.from(bits, floatToHalfBits);
}

function floatToHalfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 lies half way between the largest half and the next power of two; it and all above round to
  // infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) return sign | subnormalHalf(magnitude);
  const rebased = magnitude - 0x38000000;
  return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
}

/** Below 2^-14 a half counts units of 2^-24. */
function subnormalHalf(magnitude: number): number {
  const units = (new Float32Array(Uint32Array.of(magnitude).buffer)[0] ?? 0) * 2 ** 24;
  const below = Math.floor(units);
  const rest = units - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
