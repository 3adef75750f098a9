/**
 * Decoders of the floating-point types that checkpoints are stored in, to float32. Each reads little-endian
 * elements from `source` (whose buffer must be aligned to the element) and is exact: every half and bfloat16
 * value, subnormals and infinities included, is a float32 value, and a NaN keeps its payload. F64 is rounded
 * to nearest even.
 */
export type Decode = (source: Uint8Array, target: Float32Array) => void;

/**
 * The 64 Ki float32 bit patterns of all halves: one load for each element, half of it in the second-level
 * cache.
 */
let halfTable: Uint32Array | undefined;

export const decodeHalf: Decode = (source, target) => {
  halfTable ??= Uint32Array.from({ length: 0x10000 }, (_, bits) => halfToFloatBits(bits));
  const table = halfTable;
  const from = new Uint16Array(source.buffer, source.byteOffset, target.length);
  const to = bitsOf(target);
  for (let i = 0; i < to.length; i++) to[i] = table[from[i] as number] as number;
};

export const decodeBfloat16: Decode = (source, target) => {
  const from = new Uint16Array(source.buffer, source.byteOffset, target.length);
  const to = bitsOf(target);
  for (let i = 0; i < to.length; i++) to[i] = (from[i] as number) << 16;
};

export const decodeDouble: Decode = (source, target) => {
  target.set(new Float64Array(source.buffer, source.byteOffset, target.length));
};

/**
 * Bits, not values, are moved: a float32 NaN that passes through a JavaScript number may lose its payload.
 */
function bitsOf(target: Float32Array): Uint32Array {
  return new Uint32Array(target.buffer, target.byteOffset, target.length);
}

/** IEEE 754 binary16 to binary32. */
function halfToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return (sign | 0x7f800000 | (fraction << 13)) >>> 0;
  if (exponent > 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0;
  if (fraction === 0) return sign >>> 0;
  // A subnormal half, fraction × 2^-24, is a normal float32: shift its leading one into the implicit place.
  const shift = Math.clz32(fraction) - 21;
  return (sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)) >>> 0;
}
