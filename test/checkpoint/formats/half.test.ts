import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeBfloat16, decodeDouble, decodeHalf } from '../../../src/checkpoint/formats/half.js';
import { toHalves } from '../../support/fp16-checkpoint.js';
import { bytesOf } from '../../support/stored-file.js';

const every = Uint16Array.from({ length: 0x10000 }, (_, bits) => bits);

/** The value by the definition of IEEE 754 binary16. */
function valueOfHalf(bits: number): number {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

describe('every half', () => {
  const floats = new Float32Array(every.length);
  decodeHalf(bytesOf(every), floats);

  it('becomes the float of the same value, subnormals, infinities and signed zeros included', () => {
    floats.forEach((value, bits) => {
      assert.ok(Object.is(value, valueOfHalf(bits)), `half 0x${bits.toString(16)}: ${value}`);
    });
  });

  it('that is NaN keeps its sign and payload', () => {
    const bits = new Uint32Array(floats.buffer);
    assert.equal(bits[0x7e01], 0x7fc02000);
    assert.equal(bits[0xfc01], 0xff802000);
  });

  it('is what rounding the float gives back', () => {
    const back = toHalves(floats);
    every.forEach((bits) => {
      if (!Number.isNaN(floats[bits])) assert.equal(back[bits], bits);
    });
  });
});

it('every bfloat16 becomes the float of the same upper bits', () => {
  const floats = new Float32Array(every.length);
  decodeBfloat16(bytesOf(every), floats);
  new Uint32Array(floats.buffer).forEach((bits, upper) => {
    assert.equal(bits, (upper << 16) >>> 0);
  });
});

it('a double is rounded to the nearest float', () => {
  const floats = new Float32Array(3);
  decodeDouble(bytesOf(Float64Array.of(1 + 2 ** -24, 1e300, -(2 ** -149))), floats);
  assert.deepEqual([...floats], [1, Number.POSITIVE_INFINITY, -(2 ** -149)]);
});
