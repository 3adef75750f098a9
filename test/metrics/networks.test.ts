import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { writeSafetensors } from '../../src/checkpoint/safetensors.js';
import { readImage } from '../../src/metrics/image.js';
import { loadInception, loadLpips } from '../../src/metrics/load-networks.js';
import { alexNetShapes } from '../../src/metrics/networks/alexnet-lpips.js';
import { convolutionShapes } from '../../src/metrics/networks/inception.js';
import { inceptionConvolutions } from '../../src/metrics/networks/inception-layers.js';
import type { FeatureNetwork } from '../../src/metrics/networks/types.js';
import { resizeBicubic } from '../../src/metrics/resample.js';
import { float32, type Shape } from '../../src/tensor/tensor.js';
import { fnv1a, generatedWeight, unitHash } from './generated-weights.js';
import { cases, golden, readTensor } from './support.js';

const options = { offline: true, report: () => {}, threads: 2 };

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-networks-'));
});
after(() => rm(folder, { recursive: true }));

async function writeGenerated(file: string, shapes: Iterable<readonly [string, Shape]>): Promise<string> {
  const path = join(folder, file);
  const tensors = [...shapes].map(
    ([name, shape]) => [name, float32(shape, generatedWeight(name, shape))] as const,
  );
  await writeSafetensors(path, Object.fromEntries(tensors));
  return path;
}

function inceptionShapes(gamma: boolean): [string, Shape][] {
  return inceptionConvolutions().flatMap((spec) =>
    [...convolutionShapes(spec)]
      .filter(([part]) => gamma || part !== 'bn.weight')
      .map(([part, shape]): [string, Shape] => [`${spec.name}.${part}`, shape]),
  );
}

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
  const network = await loadLpips([await writeGenerated('alexnet.safetensors', alexNetShapes)], options);
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

function assertFeatures(actual: Float32Array, expected: Float32Array, names: readonly string[]): void {
  for (const [index, name] of names.entries()) {
    let [error, size] = [0, 0];
    for (let i = index * 2048; i < (index + 1) * 2048; i++) {
      error += ((actual[i] as number) - (expected[i] as number)) ** 2;
      size += (expected[i] as number) ** 2;
    }
    assert.ok(Math.sqrt(error / size) < 1e-5, `${name}: features differ by ${Math.sqrt(error / size)}`);
  }
}

for (const [what, gamma, tensor, count] of [
  ['features', false, 'features', 7],
  ['features with a scale in the batch norm', true, 'features_with_gamma', 2],
] as const) {
  test(`Inception's ${what} are those of FID's network`, async () => {
    const path = await writeGenerated('inception.safetensors', inceptionShapes(gamma));
    const network: FeatureNetwork = await loadInception(path, options);
    const names = (cases.inception.feature_images as string[]).slice(0, count);
    const { data } = await readTensor('inception.safetensors', tensor);
    assertFeatures(await network.features(await pixels(names), count), data as Float32Array, names);
    await network.release();
  });
}
