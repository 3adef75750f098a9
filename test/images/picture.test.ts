import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import { convertToPng } from '../../src/images/convert.js';
import { pictureSize, readPicture, wholeUnits } from '../../src/images/picture.js';
import { readImage } from '../../src/images/pixels.js';
import { readStoredImage } from '../../src/images/stored-image.js';
import { pngOf } from '../support/png.js';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-picture-'));
});
after(() => rm(folder, { recursive: true }));

test('transparent parts are white, and a picture stands as its EXIF data says', async () => {
  // Red above blue: the upper row transparent, the lower one opaque.
  const rows = Buffer.from([255, 0, 0, 0, 0, 0, 255, 255]);
  const path = join(folder, 'turned.png');
  await sharp(rows, { raw: { width: 1, height: 2, channels: 4 } })
    .withMetadata({ orientation: 6 })
    .toFile(path);
  const size = await pictureSize(path);
  assert.deepEqual(size, { height: 1, width: 2 });
  const { shape, data } = await readPicture(path, size);
  assert.deepEqual(shape, [1, 1, 2, 3]);
  assert.deepEqual([...data], [0, 0, 255, 255, 255, 255], 'turned to the right');
});

test('sizes are cut down to whole units, of which there is one at least', () => {
  assert.deepEqual(wholeUnits({ height: 67, width: 70 }, 8), { height: 64, width: 64 });
  assert.deepEqual(wholeUnits({ height: 3, width: 16 }, 8), { height: 8, width: 16 });
});

test('a header of too many pixels is refused by every reader before anything is decoded', async () => {
  const path = join(folder, 'large.png');
  const bomb = pngOf({ width: 16_000, height: 16_000, bits: 8, colour: 'rgb' }, new Uint8Array(100));
  await writeFile(path, bomb);
  const readers = [
    ['usage', () => pictureSize(path)],
    ['usage', () => readPicture(path, { height: 8, width: 8 })],
    ['dataset', () => readImage(path)],
    ['dataset', () => readStoredImage(path)],
    ['dataset', () => convertToPng(bomb, path)],
  ] as const;
  for (const [code, read] of readers) {
    await assert.rejects(read, {
      code,
      message: `${path}: not an image that can be read: it has more than the 178956970 pixels that are read`,
    });
  }
});

test('data that inflate to more than their header says are refused without being inflated', async () => {
  const path = join(folder, 'bomb.png');
  const header = { width: 16, height: 16, bits: 8, colour: 'palette' } as const;
  await writeFile(path, pngOf(header, new Uint8Array(16 * 17)));
  assert.equal((await readStoredImage(path)).pixels.length, 16 * 16 * 3);
  await writeFile(path, pngOf(header, new Uint8Array(200_000_000)));
  const before = process.resourceUsage().maxRSS;
  await assert.rejects(readStoredImage(path), { code: 'dataset', message: /bomb\.png: not an image/ });
  const grown = (process.resourceUsage().maxRSS - before) * 1024;
  assert.ok(grown < 100_000_000, `${grown} bytes more`);
});

test('what is no regular file is refused instead of waited for', { timeout: 20_000 }, async () => {
  const pipe = join(folder, 'pipe.png');
  execFileSync('mkfifo', [pipe]);
  for (const [path, message] of [
    [pipe, /pipe\.png: not a regular file$/],
    ['/dev/zero', /^\/dev\/zero: not a regular file$/],
    [folder, /: a folder, not a file$/],
  ] as const) {
    await assert.rejects(pictureSize(path), { code: 'usage', message });
    await assert.rejects(readImage(path), { code: 'dataset', message });
    await assert.rejects(readStoredImage(path), { code: 'dataset', message });
  }
});
