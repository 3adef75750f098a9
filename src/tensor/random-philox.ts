import type { Generator } from './generator.js';
import { philox4x32 } from './philox.js';
import { float32, type Shape, type Tensor } from './tensor.js';

/** cuRAND's conversions of 32-bit numbers, in its float32 constants: to (0, 1] and to (0, 2 pi]. */
const UNIT = 2 ** -32;
const TWO_PI_UNIT = Math.fround(2 ** -32 * 2 * Math.PI);

/**
 * The generator of PyTorch on a CUDA device, `torch.Generator('cuda').manual_seed(seed)`, for float32
 * tensors, without a GPU: element i of a tensor is the first of the four numbers that Philox gives for
 * subsequence i (the low words of the counter count the calls, the high words the elements). Behaviour of
 * aten/src/ATen/native/cuda/DistributionTemplates.h and of cuRAND's `curand_normal4` and `curand_uniform4`.
 *
 * PyTorch starts one thread per element, and thread i uses subsequence i. A GPU runs at most T =
 * multiprocessors x (threads per multiprocessor, rounded down to a multiple of 256) of them at once; beyond T
 * elements a thread goes on with its second, third and fourth number, so the GPU's size decides. The numbers
 * are therefore those of any GPU whose T is at least the number of elements, on every one up to 40960 (T4).
 * An SDXL latent of 1024 x 1024 pixels has 65536. T is 43008 for an RTX 3060, 69632 for an RTX 2080 Ti,
 * 125952 for an RTX 3090, 163840 for a V100, 196608 for an RTX 4090, 221184 for an A100 and 270336 for an
 * H100 or H200 (SXM).
 *
 * The random bits are exact; normal numbers differ by about 1e-6 from a GPU's, which uses approximate
 * instructions for sine and cosine.
 */
export class PhiloxGenerator implements Generator {
  readonly #keyLow: number;
  readonly #keyHigh: number;
  #calls = 0;

  /** All 64 bits of `seed` matter. */
  constructor(seed: bigint) {
    this.#keyLow = Number(BigInt.asUintN(32, seed));
    this.#keyHigh = Number(BigInt.asUintN(32, seed >> 32n));
  }

  rand(shape: Shape): Tensor<'float32'> {
    return this.#generate(shape, uniform);
  }

  randn(shape: Shape): Tensor<'float32'> {
    return this.#generate(shape, normal);
  }

  #generate(shape: Shape, transform: (first: number, second: number) => number): Tensor<'float32'> {
    const tensor = float32(shape);
    // An empty tensor starts no kernel on the GPU and leaves the generator as it is.
    if (tensor.data.length === 0) return tensor;
    const counter = new Uint32Array(4);
    for (let i = 0; i < tensor.data.length; i++) {
      counter[0] = this.#calls;
      counter[1] = 0;
      counter[2] = i;
      counter[3] = 0;
      philox4x32(counter, this.#keyLow, this.#keyHigh);
      tensor.data[i] = transform(counter[0], counter[1]);
    }
    this.#calls++;
    return tensor;
  }
}

/** cuRAND's (0, 1] as PyTorch's [0, 1): one becomes zero. */
function uniform(bits: number): number {
  const value = Math.fround(Math.fround(bits) * UNIT + UNIT / 2);
  return value === 1 ? 0 : value;
}

/** The sine branch of cuRAND's Box-Muller transform in float32. */
function normal(radiusBits: number, angleBits: number): number {
  const u = Math.fround(Math.fround(radiusBits) * UNIT + UNIT / 2);
  const angle = Math.fround(Math.fround(angleBits) * TWO_PI_UNIT + TWO_PI_UNIT / 2);
  const radius = Math.fround(Math.sqrt(-2 * Math.fround(Math.log(u))));
  return radius * Math.fround(Math.sin(angle));
}
