import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { resolutionBin } from '../../src/families/resolution-bins.js';
import { resizeAndCrop } from '../../src/pipelines/vae/resize-and-crop.js';
import { float32 } from '../../src/tensor/tensor.js';
import { readDitJson } from '../support/golden-dit.js';

interface Bins {
  readonly tables: Readonly<Record<string, Readonly<Record<string, readonly [number, number]>>>>;
  readonly classified: Readonly<Record<string, readonly (readonly [number, number, number, number])[]>>;
}

/** A picture whose value at a place is `of(row, column)`. */
function picture(rows: number, columns: number, of: (row: number, column: number) => number) {
  const data = Float32Array.from({ length: rows * columns }, (_, index) =>
    of(Math.floor(index / columns), index % columns),
  );
  return float32([1, 1, rows, columns], data);
}

describe('resolution binning', () => {
  it('finds the sizes that diffusers finds', async () => {
    const { tables, classified } = (await readDitJson('resolution_bins')) as Bins;
    for (const [sampleSize, sizes] of Object.entries(classified)) {
      for (const [height, width, binHeight, binWidth] of sizes) {
        const bin = resolutionBin(Number(sampleSize), { height, width });
        assert.deepEqual([bin.height, bin.width], [binHeight, binWidth], `${height}x${width}`);
      }
      for (const [height, width] of Object.values(tables[sampleSize] ?? {})) {
        assert.deepEqual(resolutionBin(Number(sampleSize), { height, width }), { height, width });
      }
    }
    assert.throws(() => resolutionBin(96, { height: 8, width: 8 }), /sample_size = 96/);
  });

  it('scales a ramp to a ramp and keeps the middle of the longer side', () => {
    const ramp = picture(8, 24, (row, column) => 100 * row + column);
    const resized = resizeAndCrop(ramp, { height: 4, width: 6 });
    // Half the size is 4 x 12; the middle 6 columns begin at 3. Each value lies between two rows and columns.
    const wanted = picture(4, 6, (row, column) => 100 * (2 * row + 0.5) + 2 * (column + 3) + 0.5);
    assert.deepEqual(resized, wanted);
  });

  it('repeats the edge when it enlarges', () => {
    const resized = resizeAndCrop(
      picture(1, 2, (_, column) => column),
      { height: 2, width: 4 },
    );
    assert.deepEqual([...resized.data], [0, 0.25, 0.75, 1, 0, 0.25, 0.75, 1]);
  });

  it('gives every size that it is asked for', () => {
    for (let side = 1; side < 200; side++) {
      const { shape, data } = resizeAndCrop(
        picture(49, 49, () => 1),
        { height: side, width: side },
      );
      assert.deepEqual(shape, [1, 1, side, side]);
      assert.ok(data.every((value) => Math.abs(value - 1) < 1e-6));
    }
  });
});
