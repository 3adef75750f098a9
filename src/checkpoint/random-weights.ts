import type { Shape } from '../tensor/tensor.js';
import { elementCount } from '../tensor/tensor.js';
import { writeAtomically, writeExactly } from './file-io.js';
import { encodeHeader, type TensorEntry } from './safetensors.js';
import type { WeightSource } from './weights.js';

/** Notes which weights a model asks for, so that a file of them can be made. */
export class WeightPlan implements WeightSource {
  readonly #entries = new Map<string, TensorEntry>();

  get(name: string, shape: Shape): TensorEntry {
    const entry: TensorEntry = {
      name,
      dtype: 'F32',
      shape,
      file: '',
      offset: 0,
      length: 4 * elementCount(shape),
    };
    this.#entries.set(name, entry);
    return entry;
  }

  has(): boolean {
    return true;
  }

  names(): Iterable<string> {
    return this.#entries.keys();
  }

  get entries(): readonly TensorEntry[] {
    return [...this.#entries.values()];
  }
}

const chunkElements = 1 << 20;

/**
 * Writes a .safetensors file of random float32 weights: uniform, of variance 1 / fan-in, so that activations keep their size;
 * norms are the identity and biases zero. Equal for equal plans.
 */
export async function writeRandomWeights(path: string, entries: readonly TensorEntry[]): Promise<void> {
  const random = new Xorshift32();
  await writeAtomically(path, async (handle) => {
    const header = encodeHeader(entries);
    await writeExactly(handle, header, 0);
    let position = header.length;
    for (const { name, shape } of entries) {
      const count = elementCount(shape);
      for (let done = 0; done < count; done += chunkElements) {
        const chunk = fill(name, shape, Math.min(chunkElements, count - done), random);
        await writeExactly(handle, new Uint8Array(chunk.buffer), position);
        position += chunk.byteLength;
      }
    }
  });
}

function fill(name: string, shape: Shape, count: number, random: Xorshift32): Float32Array {
  const values = new Float32Array(count);
  if (shape.length === 1) return values.fill(name.endsWith('.weight') ? 1 : 0);
  const bound = Math.sqrt(3 / elementCount(shape.slice(1)));
  for (let i = 0; i < count; i++) values[i] = bound * random.symmetric();
  return values;
}

/** Marsaglia's 32-bit xorshift: quality does not matter here, speed does. */
class Xorshift32 {
  #state = 0x9e3779b9;

  /** A number between -1 and 1. */
  symmetric(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return state / 0x80000000;
  }
}
