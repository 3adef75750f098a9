import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readImage } from '../../src/images/pixels.js';
import { resizeBicubic } from '../../src/images/resample.js';
import { loadInception, loadLpips } from '../../src/metrics/load-networks.js';
import { alexNetShapes } from '../../src/metrics/networks/alexnet-lpips.js';
import type { FeatureNetwork } from '../../src/metrics/networks/types.js';
import {
  fnv1a,
  generatedWeight,
  inceptionShapes,
  inceptionShapesWithoutScale,
  unitHash,
  writeGenerated,
} from './generated-weights.js';
import { cases, golden, readTensor } from './support.js';

const options = { offline: true, onDownload: () => {}, threads: 2 };

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-networks-'));
});
after(() => rm(folder, { recursive: true }));

test('weights are generated as for the expected figures', () => {
  for (const [name, { fnv1a: hash, unit_first3 }] of Object.entries<{ fnv1a: number; unit_first3: number[] }>(
    cases.hash_examples,
  )) {
    assert.equal(fnv1a(name), hash);
    assert.deepEqual(
      [0, 1, 2].map((index) => unitHash(hash, index)),
      unit_first3,
    );
  }
  const checks = Object.entries<{ shape: number[]; first4: number[] }>(
    cases.inception.substitute_weights_checks,
  );
  for (const [name, { shape, first4 }] of checks) {
    assert.deepEqual([...generatedWeight(name, shape).slice(0, 4)], first4);
  }
});

async function planes(path: string) {
  const { width, height, pixels } = await readImage(path);
  const values = new Float32Array(pixels.length);
  for (let i = 0; i < pixels.length; i++) {
    values[(i % 3) * width * height + Math.floor(i / 3)] = (pixels[i] as number) / 255;
  }
  return { width, height, values };
}

test('LPIPS of pairs of any size is that of torchmetrics', async () => {
  const network = await loadLpips(
    [await writeGenerated(join(folder, 'alexnet.safetensors'), alexNetShapes)],
    options,
  );
  for (const [index, expected] of (cases.lpips.hash.root0_root1.per_image as number[]).entries()) {
    const name = `${String(index).padStart(4, '0')}.png`;
    const [a, b] = [await planes(golden('root0', name)), await planes(golden('root1', name))];
    const distance = await network.distance(a.values, b.values, a.height, a.width);
    if (expected === 0) assert.equal(distance, 0);
    else assert.ok(Math.abs(distance - expected) < 1e-6, `${name}: ${distance}, not ${expected}`);
  }
  await network.release();
});

async function pixels(names: readonly string[]): Promise<Float32Array> {
  const length = 299 * 299 * 3;
  const values = new Float32Array(names.length * length);
  for (const [index, name] of names.entries()) {
    const image = await readImage(golden(name));
    const target = values.subarray(index * length, (index + 1) * length);
    resizeBicubic(image.pixels, image, { width: 299, height: 299 }, target);
  }
  return values;
}

function assertFeatures(
  actual: Float32Array,
  expected: readonly Float32Array[],
  names: readonly string[],
): void {
  for (const [index, name] of names.entries()) {
    let [error, size] = [0, 0];
    for (const [i, value] of (expected[index] as Float32Array).entries()) {
      error += ((actual[index * 2048 + i] as number) - value) ** 2;
      size += value ** 2;
    }
    assert.ok(Math.sqrt(error / size) < 1e-5, `${name}: features differ by ${Math.sqrt(error / size)}`);
  }
}

for (const [what, shapes, tensor, images] of [
  ['features', inceptionShapesWithoutScale, 'features', [0, 2, 5]],
  ['features with a scale in the batch norm', inceptionShapes, 'features_with_gamma', [0]],
] as const) {
  test(`Inception's ${what} are those of FID's network`, async () => {
    const path = await writeGenerated(join(folder, 'inception.safetensors'), shapes);
    const network: FeatureNetwork = await loadInception(path, options);
    const names = images.map((index) => cases.inception.feature_images[index] as string);
    const { data } = await readTensor('inception.safetensors', tensor);
    const expected = images.map((index) => (data as Float32Array).subarray(index * 2048, (index + 1) * 2048));
    assertFeatures(await network.features(await pixels(names), names.length), expected, names);
    await network.release();
  });
}
