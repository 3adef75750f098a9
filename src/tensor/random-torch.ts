import { log, type SinCos, sinCos } from './cephes.js';
import type { Generator } from './generator.js';
import { Mt19937 } from './mt19937.js';
import { float32, type Shape, type Tensor } from './tensor.js';

/** From this many numbers on, torch draws normal numbers with its vectorised kernel. */
const GROUP = 16;
const HALF_GROUP = GROUP / 2;

const TWO_PI_FLOAT = Math.fround(2 * Math.PI);

/**
 * The CPU generator of PyTorch, `torch.Generator('cpu').manual_seed(seed)`, for float32 tensors.
 *
 * Exact: uniform numbers everywhere, normal ones as on x86 with AVX2. On other CPUs torch's normal numbers
 * differ by up to 2e-6, since its kernels approximate log, sin and cos each in their own way. Behaviour of
 * aten/src/ATen/core/DistributionsHelper.h and aten/src/ATen/native/cpu/DistributionTemplates.h.
 */
export class TorchGenerator implements Generator {
  readonly #engine: Mt19937;
  /** The second number of the last pair of scalar normal numbers, until a scalar draw takes it. */
  #cachedNormal: number | undefined;

  /** Only the low 32 bits of `seed` matter. */
  constructor(seed: bigint) {
    this.#engine = new Mt19937(Number(BigInt.asUintN(32, seed)));
  }

  rand(shape: Shape): Tensor<'float32'> {
    const tensor = float32(shape);
    this.#fillUniform(tensor.data);
    return tensor;
  }

  randn(shape: Shape): Tensor<'float32'> {
    const tensor = float32(shape);
    if (tensor.data.length < GROUP) this.#fillNormalScalar(tensor.data);
    else this.#fillNormalGroups(tensor.data);
    return tensor;
  }

  /** Multiples of 2^-24, each from one 32-bit number. */
  #fillUniform(data: Float32Array): void {
    for (let i = 0; i < data.length; i++) data[i] = (this.#engine.next() & 0xffffff) * 2 ** -24;
  }

  /** A multiple of 2^-53 in [0, 1); the first of two 32-bit numbers is the upper half. */
  #uniformDouble(): number {
    const upper = this.#engine.next() & 0x1fffff;
    return (upper * 2 ** 32 + this.#engine.next()) * 2 ** -53;
  }

  #fillNormalScalar(data: Float32Array): void {
    for (let i = 0; i < data.length; i++) data[i] = this.#nextNormal();
  }

  /** Box-Muller in double precision. The cached number survives draws of other kinds, as in torch. */
  #nextNormal(): number {
    const cached = this.#cachedNormal;
    if (cached !== undefined) {
      this.#cachedNormal = undefined;
      return cached;
    }
    const angle = 2 * Math.PI * this.#uniformDouble();
    const radius = Math.sqrt(-2 * Math.log1p(-this.#uniformDouble()));
    this.#cachedNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** Box-Muller on 16 uniforms at a time; where the size is no multiple of 16, the last 16 are drawn anew. */
  #fillNormalGroups(data: Float32Array): void {
    this.#fillUniform(data);
    for (let start = 0; start + GROUP <= data.length; start += GROUP) {
      transformGroup(data.subarray(start, start + GROUP));
    }
    if (data.length % GROUP !== 0) {
      const tail = data.subarray(data.length - GROUP);
      this.#fillUniform(tail);
      transformGroup(tail);
    }
  }
}

const unit: SinCos = { sin: 0, cos: 0 };

/** Turns 8 + 8 uniform numbers into 8 + 8 normal ones. */
function transformGroup(group: Float32Array): void {
  for (let i = 0; i < HALF_GROUP; i++) {
    const radius = Math.fround(Math.sqrt(-2 * log(1 - (group[i] as number))));
    sinCos(Math.fround(TWO_PI_FLOAT * (group[i + HALF_GROUP] as number)), unit);
    group[i] = radius * unit.cos;
    group[i + HALF_GROUP] = radius * unit.sin;
  }
}
