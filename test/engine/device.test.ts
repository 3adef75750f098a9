import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SimdLevel } from '../../src/engine/addon.js';
import { type AskedDevice, chooseDevice, deviceText } from '../../src/engine/device.js';

const chosen = (asked: AskedDevice, level: SimdLevel) => deviceText(chooseDevice(asked, level));

test('auto is bfloat16 where the CPU multiplies it as it is, and float32 elsewhere', () => {
  for (const level of ['bf16', 'amx'] as const) assert.equal(chosen({}, level), 'bf16 by lowered');
  for (const level of ['narrow', 'v3', 'v4'] as const) {
    assert.match(chosen({}, level), /^fp32 by/);
    assert.equal(chosen({ dtype: 'auto', engine: 'auto' }, level), chosen({}, level));
  }
});

test('auto takes the engine that is the faster one in float32: the lowered one from AVX2 on', () => {
  assert.equal(chosen({ dtype: 'fp32' }, 'narrow'), 'fp32 by onnxruntime');
  for (const level of ['v3', 'v4', 'bf16', 'amx'] as const)
    assert.equal(chosen({ dtype: 'fp32' }, level), 'fp32 by lowered');
});

test('an engine is chosen for a type, and a type that an engine has', () => {
  assert.equal(chosen({ dtype: 'bf16' }, 'narrow'), 'bf16 by lowered');
  assert.equal(chosen({ engine: 'onnxruntime' }, 'amx'), 'fp32 by onnxruntime');
  assert.equal(chosen({ engine: 'lowered' }, 'amx'), 'bf16 by lowered');
  assert.equal(chosen({ engine: 'lowered' }, 'v3'), 'fp32 by lowered');
});

test('what is asked for is had whatever the CPU, or refused with what would work', () => {
  assert.equal(chosen({ engine: 'lowered', dtype: 'fp32' }, 'amx'), 'fp32 by lowered');
  assert.throws(() => chooseDevice({ engine: 'onnxruntime', dtype: 'bf16' }, 'amx'), {
    code: 'unsupported',
    message: '--engine onnxruntime has no bf16; --engine lowered has',
  });
});
