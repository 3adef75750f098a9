import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { readImage } from '../../src/images/pixels.js';
import { resizeBicubic, resizeBilinear } from '../../src/images/resample.js';
import { readStoredImage } from '../../src/images/stored-image.js';
import { psnr } from '../../src/metrics/psnr.js';
import { cases, golden, readTensor } from '../metrics/support.js';

test('JPEG and palette images are decoded as Pillow decodes them', async () => {
  const pixels = async (name: string) => Uint8Array.from((await readImage(golden(name))).pixels);
  assert.deepEqual(await pixels('gt/0003.jpg'), await pixels('decoded/gt_0003.png'));
  assert.deepEqual(await pixels('gt/0002.png'), await pixels('decoded/gt_0002_rgb.png'));
  const indices = await readStoredImage(golden('gt/0002.png'));
  assert.deepEqual(indices.pixels, await pixels('decoded/gt_0002_indices.png'));
  assert.notDeepEqual(indices.pixels, await pixels('decoded/gt_0002_rgb.png'));
});

interface Resized {
  readonly sha256_chw_uint8: string;
  readonly mean_per_channel: readonly number[];
}

for (const [name, expected] of Object.entries(cases.is_gt.resized as Record<string, Resized>)) {
  test(`ground truth ${name} is resized as torchvision resizes it`, async () => {
    const image = await readStoredImage(golden('gt', name));
    const side = 1024;
    const pixels = resizeBilinear(image.pixels, image, { width: side, height: side });
    const planes = toPlanes(pixels);
    const { data: rows } = await readTensor('is_gt_resized.safetensors', `${name}.rows500_503`);
    for (let channel = 0; channel < 3; channel++) {
      const plane = planes.subarray(channel * side * side, (channel + 1) * side * side);
      const stored = (rows as Uint8Array).subarray(channel * 4 * side, (channel + 1) * 4 * side);
      assert.deepEqual(plane.slice(500 * side, 504 * side), stored.slice());
      const mean = plane.reduce((sum, value) => sum + value, 0) / plane.length;
      assert.ok(Math.abs(mean - (expected.mean_per_channel[channel] as number)) < 7.5 / plane.length);
    }
    assert.equal(createHash('sha256').update(planes).digest('hex'), expected.sha256_chw_uint8);
  });
}

/** [height, width, 3] as [3, height, width]. */
function toPlanes(pixels: Uint8Array): Uint8Array {
  const area = pixels.length / 3;
  return Uint8Array.from(pixels, (_, i) => pixels[(i % area) * 3 + Math.floor(i / area)] as number);
}

for (const name of ['root0/0000.png', 'root0/0006.png', 'gt/0004.png']) {
  test(`${name} is resized for Inception to the bit as by Pillow`, async () => {
    const image = await readImage(golden(name));
    const side = 299;
    const resized = new Float32Array(side * side * 3);
    resizeBicubic(image.pixels, image, { width: side, height: side }, resized);
    const file = process.env.DISTRI_GOLDEN_METRICS ? 'inception.safetensors' : 'resized.safetensors';
    for (const first of [0, 297]) {
      const { data } = await readTensor(file, `${name}.rows${first}_${first + 1}`);
      assert.deepEqual(resized.slice(first * side * 3, (first + 2) * side * 3), data);
    }
    const { mean, values_at_0, values_at_255 } = cases.inception.resize?.[name] ?? {};
    assert.ok(mean, 'the expectations are there');
    assert.equal(resized.filter((value) => value === 0).length, values_at_0);
    assert.equal(resized.filter((value) => value === 255).length, values_at_255);
  });
}

for (const folders of ['root0_root1', 'uniform0_uniform1'] as const) {
  test(`PSNR of each pair in ${folders} is that of torchmetrics`, async () => {
    const [first, second] = folders.split('_') as [string, string];
    const expected = cases.psnr[folders].per_image_float64 as (number | 'inf')[];
    for (const [index, value] of expected.entries()) {
      const name = `${String(index).padStart(4, '0')}.png`;
      const [a, b] = [await readImage(golden(first, name)), await readImage(golden(second, name))];
      const ratio = psnr(a.pixels, b.pixels);
      if (value === 'inf') assert.equal(ratio, Number.POSITIVE_INFINITY);
      else assert.ok(Math.abs(ratio / value - 1) < 1e-6, `${name}: ${ratio}, not ${value}`);
    }
  });
}
