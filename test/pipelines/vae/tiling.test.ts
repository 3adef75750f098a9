import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  cutTile,
  decoderTiling,
  encoderTiling,
  joinTiles,
  tileAreas,
} from '../../../src/pipelines/vae/tiling.js';
import { TorchGenerator } from '../../../src/tensor/random-torch.js';
import { float32, type Tensor } from '../../../src/tensor/tensor.js';
import { assertClose, tinySdxl } from '../../support/golden.js';
import { VaeRanks } from '../../support/vae-ranks.js';

/**
 * A pixel of tile (i, j) as diffusers' blend_v and then blend_h leave it; its neighbours above and to the
 * left are blended already.
 */
function blended(
  colour: (i: number, j: number) => number,
  areas: ReturnType<typeof tileAreas>,
  extent: number,
  [i, j, y, x]: readonly [number, number, number, number],
): number {
  const area = (row: number, column: number) => areas[row]?.[column] ?? { rows: 0, columns: 0 };
  const of = (...place: [number, number, number, number]) => blended(colour, areas, extent, place);
  let value = colour(i, j);
  const down = Math.min(area(i - 1, j).rows, area(i, j).rows, extent);
  if (y < down) value = of(i - 1, j, area(i - 1, j).rows - down + y, x) * (1 - y / down) + value * (y / down);
  const across = Math.min(area(i, j - 1).columns, area(i, j).columns, extent);
  if (x < across) {
    value = of(i, j - 1, y, area(i, j - 1).columns - across + x) * (1 - x / across) + value * (x / across);
  }
  return value;
}

describe('tiles', () => {
  it('lie where diffusers puts them', () => {
    // AutoencoderKL with sample_size 256: tile_latent_min_size 32, overlap_size 24, blend_extent 64,
    // row_limit 192.
    assert.deepEqual(decoderTiling(256, 8), { tile: 32, stride: 24, blend: 64, limit: 192 });
    assert.deepEqual(encoderTiling(256, 8), { tile: 256, stride: 192, blend: 8, limit: 24 });
    const areas = tileAreas(60, 33, decoderTiling(256, 8));
    assert.deepEqual(
      areas.map((row) => row.map(({ row: top, rows, column, columns }) => [top, rows, column, columns])),
      [
        [
          [0, 32, 0, 32],
          [0, 32, 24, 9],
        ],
        [
          [24, 32, 0, 32],
          [24, 32, 24, 9],
        ],
        [
          [48, 12, 0, 32],
          [48, 12, 24, 9],
        ],
      ],
    );
  });

  it('of an image, joined again, are the image', () => {
    const image = new TorchGenerator(2n).randn([1, 2, 70, 53]);
    const tiling = { tile: 32, stride: 24, blend: 8, limit: 24 };
    const tiles = tileAreas(70, 53, tiling).map((row) => row.map((area) => cutTile(image, area)));
    assertClose(joinTiles(tiles, tiling), image, { absolute: 1e-6 }, 'image');
  });

  it('become each other where they overlap as diffusers blends them', () => {
    const tiling = { tile: 32, stride: 24, blend: 8, limit: 24 };
    const [rows, columns] = [72, 80];
    const areas = tileAreas(rows, columns, tiling);
    const colour = (i: number, j: number) => 10 * i + j * j + 1;
    const tiles = areas.map((row, i) =>
      row.map((area, j) => {
        const tile = float32([1, 1, area.rows, area.columns]);
        tile.data.fill(colour(i, j));
        return tile;
      }),
    );
    const joined = joinTiles(tiles, tiling);
    const wanted = float32([1, 1, rows, columns]);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const [i, j] = [Math.floor(y / 24), Math.floor(x / 24)];
        wanted.data[y * columns + x] = blended(colour, areas, 8, [i, j, y - 24 * i, x - 24 * j]);
      }
    }
    assertClose(joined, wanted, { absolute: 1e-4 }, 'joined');
  });
});

describe('tiled decoding and encoding', () => {
  const latents = new TorchGenerator(4n).randn([1, 4, 21, 14]);

  it('of a picture no larger than a tile is that of the whole', async () => {
    const ranks = await VaeRanks.launch(tinySdxl, 1);
    const tiled = await ranks.decode(latents, { parallel: false, tilePixels: 192 });
    assert.deepEqual(tiled, await ranks.decode(latents));
    await ranks.close();
  });

  it('is the same on one and on several ranks, and consists of decoded tiles', async () => {
    const pixels = float32([1, 96, 128, 3]);
    const bytes = Uint8Array.from(pixels.data, (_, index) => (index * 7919) % 256);
    const picture: Tensor<'uint8'> = { dtype: 'uint8', shape: [1, 96, 128, 3], data: bytes };
    const results = [];
    for (const worldSize of [1, 3]) {
      const ranks = await VaeRanks.launch(tinySdxl, worldSize);
      const spread = { parallel: worldSize > 1, tilePixels: 64 };
      const corner = await ranks.decode(cutTile(latents, { row: 0, rows: 8, column: 0, columns: 8 }));
      results.push({
        decoded: await ranks.decode(latents, spread),
        encoded: await ranks.encode(picture, spread),
        corner,
      });
      await ranks.close();
    }
    const [one, three] = results;
    assert.ok(one && three);
    assert.deepEqual(one.decoded.shape, [1, 3, 168, 112]);
    assertClose(three.decoded, one.decoded, { absolute: 1e-4 }, 'decoded');
    assertClose(three.encoded, one.encoded, { absolute: 1e-4 }, 'encoded');
    // Before the first seam the result is that of the first tile.
    const unblended = { row: 0, rows: 48, column: 0, columns: 48 };
    assert.deepEqual(cutTile(one.decoded, unblended).data, cutTile(one.corner, unblended).data);
  });
});
