const ROUNDS = 10;
const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const KEY_STEP_0 = 0x9e3779b9;
const KEY_STEP_1 = 0xbb67ae85;

/**
 * Philox4x32-10 of Salmon et al. (2011), the counter-based generator of cuRAND: replaces the four 32-bit
 * words of `counter` by the random words that belong to it under the 64-bit key `keyLow`, `keyHigh`.
 */
export function philox4x32(counter: Uint32Array, keyLow: number, keyHigh: number): void {
  let [a, b, c, d] = counter as unknown as [number, number, number, number];
  let key0 = keyLow;
  let key1 = keyHigh;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = highWord(a, MULTIPLIER_0);
    const high1 = highWord(c, MULTIPLIER_1);
    const low0 = Math.imul(a, MULTIPLIER_0);
    const low1 = Math.imul(c, MULTIPLIER_1);
    a = (high1 ^ b ^ key0) >>> 0;
    b = low1;
    c = (high0 ^ d ^ key1) >>> 0;
    d = low0;
    key0 = (key0 + KEY_STEP_0) >>> 0;
    key1 = (key1 + KEY_STEP_1) >>> 0;
  }
  counter[0] = a;
  counter[1] = b;
  counter[2] = c;
  counter[3] = d;
}

/**
 * The upper 32 bits of the product of two unsigned 32-bit numbers; in halves, as doubles are exact only to
 * 2^53.
 */
function highWord(x: number, y: number): number {
  const xLow = x & 0xffff;
  const xHigh = x >>> 16;
  const yLow = y & 0xffff;
  const yHigh = y >>> 16;
  const middle = xHigh * yLow + ((xLow * yLow) >>> 16);
  const carry = xLow * yHigh + (middle & 0xffff);
  return xHigh * yHigh + (middle >>> 16) + (carry >>> 16);
}
