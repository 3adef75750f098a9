/**
 * Single precision log, sin and cos of the Cephes library (S. Moshier), as torch's AVX2 kernels evaluate
 * them: eight numbers at once there, with a fused multiply-add wherever a product is added to. The results
 * are theirs to the last bit.
 */

const { fround } = Math;

/**
 * a b + c rounded once. The product of two float32 is exact in double precision; rounding the sum to double
 * before float32 makes a difference in about one of 2^29 sums only.
 */
function multiplyAdd(a: number, b: number, c: number): number {
  return fround(a * b + c);
}

const LOG_COEFFICIENTS = [
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
].map(fround);
/** ln 2 in two parts: the upper one has few bits, so its product with an exponent is exact. */
const LN2_UPPER = 0.693359375;
const LN2_LOWER = fround(-2.1219444e-4);
const SQRT_HALF = fround(Math.SQRT1_2);

const bits = new DataView(new ArrayBuffer(4));

/** The natural logarithm of a positive, normal float32. */
export function log(value: number): number {
  bits.setFloat32(0, value);
  const word = bits.getInt32(0);
  let exponent = (word >> 23) - 126;
  bits.setInt32(0, (word & 0x7fffff) | 0x3f000000);
  const fraction = bits.getFloat32(0);
  let x = fround(fraction - 1);
  if (fraction < SQRT_HALF) {
    exponent -= 1;
    x = fround(x + fraction);
  }
  const square = fround(x * x);
  let y = LOG_COEFFICIENTS[0] as number;
  for (let i = 1; i < LOG_COEFFICIENTS.length; i++) y = multiplyAdd(y, x, LOG_COEFFICIENTS[i] as number);
  y = multiplyAdd(fround(y * x), square, fround(exponent * LN2_LOWER));
  y = fround(y - square / 2);
  return multiplyAdd(exponent, LN2_UPPER, fround(x + y));
}

type Three = [number, number, number];

const FOUR_OVER_PI = fround(4 / Math.PI);
/** pi / 4 in three parts. */
const QUARTER_PI = [0.78515625, 2.4187564849853516e-4, fround(3.774894977445941e-8)] as const;
const [SIN_0, SIN_1, SIN_2] = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1].map(fround) as Three;
const [COS_0, COS_1, COS_2] = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2].map(
  fround,
) as Three;

export interface SinCos {
  sin: number;
  cos: number;
}

/** Writes sine and cosine of a float32 of [0, 8192) to `result`. */
export function sinCos(angle: number, result: SinCos): void {
  const octant = (Math.trunc(fround(angle * FOUR_OVER_PI)) + 1) & ~1;
  let x = angle;
  for (const part of QUARTER_PI) x = multiplyAdd(-octant, part, x);
  const square = fround(x * x);

  const sin = fround(multiplyAdd(multiplyAdd(SIN_0, square, SIN_1), square, SIN_2) * square);
  const sinNear = multiplyAdd(sin, x, x);
  const cos = fround(multiplyAdd(multiplyAdd(COS_0, square, COS_1), square, COS_2) * square);
  const cosNear = fround(multiplyAdd(cos, square, -square / 2) + 1);

  const swapped = (octant & 2) !== 0;
  const sinSize = swapped ? cosNear : sinNear;
  const cosSize = swapped ? sinNear : cosNear;
  result.sin = octant & 4 ? -sinSize : sinSize;
  result.cos = (octant + 2) & 4 ? -cosSize : cosSize;
}
