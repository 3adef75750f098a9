import { readExactly, withFile } from '../base/file-io.js';
import type { TensorEntry } from './formats/safetensors.js';
import type { WeightSource } from './weights.js';

const CHUNK_BYTES = 4 << 20;

/**
 * The bits of the exponent of 32 or 16 bits of a float: all of them are set in infinities and in what is no
 * number.
 */
const exponents = { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 } as const;

/**
 * The name of the first tensor with a number that is infinite or none; undefined where there is none. Reads
 * all weights.
 */
export async function findNonFinite(weights: WeightSource): Promise<string | undefined> {
  for (const entry of weights.entries) {
    if (await hasNonFinite(entry)) return entry.name;
  }
  return undefined;
}

function hasNonFinite(entry: TensorEntry): Promise<boolean> {
  const exponent = exponents[entry.dtype as keyof typeof exponents];
  if (exponent === undefined) return Promise.resolve(false);
  return withFile(entry.file, async (handle) => {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, entry.length));
    for (let done = 0; done < entry.length; done += chunk.length) {
      const part = chunk.subarray(0, Math.min(chunk.length, entry.length - done));
      await readExactly(handle, part, entry.offset + done);
      const words =
        entry.dtype === 'F32'
          ? new Uint32Array(part.buffer, 0, part.length / 4)
          : new Uint16Array(part.buffer, 0, part.length / 2);
      if (words.some((word) => (word & exponent) === exponent)) return true;
    }
    return false;
  });
}
