import { writeAtomically, writeExactly } from '../base/file-io.js';
import type { Shape } from '../tensor/tensor.js';
import { elementCount } from '../tensor/tensor.js';
import { encodeHeader, type TensorEntry } from './formats/safetensors.js';
import { type WeightSource, weightBytes } from './weights.js';

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

  get bytes(): number {
    return weightBytes(this.#entries.values());
  }

  get entries(): readonly TensorEntry[] {
    return [...this.#entries.values()];
  }
}

const CHUNK_ELEMENTS = 1 << 20;
/** A prime, so that repetitions of the block do not fall on the same place of a weight's rows. */
const BLOCK_ELEMENTS = 4_194_301;

interface RandomWeightsOptions {
  /** Of the file's header. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined;
}

/**
 * Writes a .safetensors file of random float32 weights: uniform, of variance 1 / fan-in, so that activations
 * keep their size; norms are the identity and biases zero. Equal for equal plans.
 */
export async function writeRandomWeights(
  path: string,
  entries: readonly TensorEntry[],
  { metadata, onProgress }: RandomWeightsOptions = {},
): Promise<void> {
  const random = new RandomBlock();
  const header = encodeHeader(entries, metadata);
  const total = weightBytes(entries);
  await writeAtomically(path, async (handle) => {
    await writeExactly(handle, header, 0);
    let position = header.length;
    const chunk = new Float32Array(CHUNK_ELEMENTS);
    for (const { name, shape } of entries) {
      const count = elementCount(shape);
      for (let done = 0; done < count; done += CHUNK_ELEMENTS) {
        const values = chunk.subarray(0, Math.min(CHUNK_ELEMENTS, count - done));
        fill(values, name, shape, random);
        await writeExactly(handle, new Uint8Array(values.buffer, 0, values.byteLength), position);
        position += values.byteLength;
        onProgress?.(position - header.length, total);
      }
    }
  });
}

function fill(values: Float32Array, name: string, shape: Shape, random: RandomBlock): void {
  if (shape.length === 1) values.fill(name.endsWith('.weight') ? 1 : 0);
  else random.fill(values, Math.sqrt(3 / elementCount(shape.slice(1))));
}

/**
 * The same numbers again and again: a generator of its own for each of billions of weights would take longer
 * than the disk.
 */
class RandomBlock {
  readonly #block = new Float32Array(BLOCK_ELEMENTS);
  #position = 0;

  constructor() {
    let state = 0x9e3779b9;
    for (let i = 0; i < BLOCK_ELEMENTS; i++) {
      // Marsaglia's 32-bit xorshift: quality does not matter here.
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      this.#block[i] = state / 0x80000000;
    }
  }

  /** Numbers between -bound and bound. */
  fill(values: Float32Array, bound: number): void {
    for (let i = 0; i < values.length; i++) {
      values[i] = bound * (this.#block[this.#position] as number);
      this.#position = this.#position + 1 === BLOCK_ELEMENTS ? 0 : this.#position + 1;
    }
  }
}
