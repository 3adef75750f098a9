import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TorchGenerator } from '../../src/tensor/random-torch.js';
import { elementCount, float32, type Tensor, uint8 } from '../../src/tensor/tensor.js';
import { assertClose, difference, tinySdxl } from '../support/golden.js';
import { VaeRanks } from '../support/vae-ranks.js';

const worldSizes = [2, 3, 4, 5, 8];

/** Noise on a strong ramp from the first row to the last: no band has the statistics of the whole. */
function rampedLatents(rows: number, columns: number, height: number, offset = 0): Tensor<'float32'> {
  const latents = new TorchGenerator(3n).randn([1, 4, rows, columns]);
  for (let index = 0; index < latents.data.length; index++) {
    const row = Math.floor(index / columns) % rows;
    latents.data[index] = (latents.data[index] as number) + offset + height * (row / (rows - 1) - 0.5);
  }
  return latents;
}

function rampedPixels(height: number, width: number): Tensor<'uint8'> {
  const noise = new TorchGenerator(5n).randn([1, height, width, 3]);
  const data = Uint8Array.from(noise.data, (value, index) => {
    const row = Math.floor(index / (3 * width));
    return Math.min(Math.max(230 * (row / (height - 1)) + 12 + 8 * value, 0), 255);
  });
  return uint8([1, height, width, 3], data);
}

const latents: readonly [name: string, latents: Tensor<'float32'>][] = [
  ['noise, 16 x 16', rampedLatents(16, 16, 0)],
  ['a strong ramp, 13 x 9', rampedLatents(13, 9, 40)],
  ['a ramp on a large mean, 16 x 24', rampedLatents(16, 24, 40, 1000)],
  ['a flat picture with fewer rows than some ranks, 3 x 20', rampedLatents(3, 20, 10)],
];

const pixels: readonly [name: string, pixels: Tensor<'uint8'>][] = [
  ['a ramp, 128 x 64', rampedPixels(128, 64)],
  ['a ramp of uneven bands, 104 x 72', rampedPixels(104, 72)],
  ['fewer rows than some ranks, 24 x 160', rampedPixels(24, 160)],
];

async function onRanks<T>(worldSize: number, use: (ranks: VaeRanks) => Promise<T>): Promise<T> {
  const ranks = await VaeRanks.launch(tinySdxl, worldSize);
  try {
    return await use(ranks);
  } finally {
    await ranks.close();
  }
}

async function all<K, T>(items: readonly K[], compute: (item: K) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (const item of items) results.push(await compute(item));
  return results;
}

describe('a VAE on several ranks equals one on a single rank', async () => {
  const single = await onRanks(1, async (ranks) => ({
    decoded: await all(latents, ([, given]) => ranks.decode(given)),
    encoded: await all(pixels, ([, given]) => ranks.encode(given)),
  }));

  for (const worldSize of worldSizes) {
    it(`with ${worldSize} ranks`, async (context) => {
      await onRanks(worldSize, async (ranks) => {
        for (const [index, [name, given]] of latents.entries()) {
          const wanted = single.decoded[index] as Tensor<'float32'>;
          const decoded = await ranks.decode(given);
          context.diagnostic(`decoding ${name}: ${JSON.stringify(difference(decoded, wanted))}`);
          assertClose(decoded, wanted, { absolute: 1e-4 }, `decoding ${name}`);
        }
        for (const [index, [name, given]] of pixels.entries()) {
          const wanted = single.encoded[index] as Tensor<'float32'>;
          const encoded = await ranks.encode(given);
          context.diagnostic(`encoding ${name}: ${JSON.stringify(difference(encoded, wanted))}`);
          assertClose(encoded, wanted, { absolute: 1e-4 }, `encoding ${name}`);
        }
      });
    });
  }
});

it('the ramps are such that statistics of a band alone would be seen', async () => {
  await onRanks(1, async (ranks) => {
    const [, given] = latents[1] as [string, Tensor<'float32'>];
    const [, channels, rows, columns] = given.shape as [number, number, number, number];
    const half = Math.ceil(rows / 2);
    const top = float32([1, channels, half, columns]);
    for (let plane = 0; plane < channels; plane++) {
      const start = plane * rows * columns;
      top.data.set(given.data.subarray(start, start + half * columns), plane * half * columns);
    }
    const whole = await ranks.decode(given);
    const alone = await ranks.decode(top);
    const width = 8 * columns;
    // The first rows, far from the cut.
    const first = (image: Tensor<'float32'>) => image.data.subarray(0, 16 * width);
    const shape = [16 * width];
    const { worst, magnitude } = difference(float32(shape, first(alone)), float32(shape, first(whole)));
    assert.ok(worst > 0.1 * magnitude, `differs by ${worst} of ${magnitude}`);
    assert.equal(elementCount(whole.shape), 3 * 8 * rows * width);
  });
});
