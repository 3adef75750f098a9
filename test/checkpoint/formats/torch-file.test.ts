import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TorchFile } from '../../../src/checkpoint/formats/torch/torch-file.js';
import { cases, golden } from '../../metrics/support.js';

interface ExpectedTensor {
  readonly shape: readonly number[];
  readonly values?: readonly number[];
  readonly first4?: readonly number[];
  readonly sum_float64?: number;
}

for (const [name, { tensors }] of Object.entries(
  cases.pth as Record<string, { tensors: Record<string, ExpectedTensor> }>,
)) {
  test(`${name} has the tensors that torch reads from it`, async () => {
    const file = await TorchFile.open(golden('pth', name));
    assert.deepEqual([...file.tensors.keys()].sort(), Object.keys(tensors).sort());
    for (const [key, expected] of Object.entries(tensors)) {
      const { shape, data } = await file.read(key);
      assert.deepEqual(shape, expected.shape);
      const values = Array.from(data as Iterable<number | bigint>, Number);
      if (expected.values)
        assert.deepEqual(
          values,
          expected.values.map((value) => (data instanceof Float32Array ? Math.fround(value) : value)),
        );
      if (expected.first4) assert.deepEqual(values.slice(0, 4), expected.first4);
      if (expected.sum_float64 !== undefined) {
        const sum = values.reduce((total, value) => total + value, 0);
        assert.ok(Math.abs(sum - expected.sum_float64) < 1e-9);
      }
    }
  });
}
