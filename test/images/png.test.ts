import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { describePicture } from '../../src/images/parameters.js';
import { encodePng, writePng } from '../../src/images/png.js';
import { uint8 } from '../../src/tensor/tensor.js';

interface Chunk {
  readonly type: string;
  readonly data: Buffer;
}

function readChunks(png: Buffer): Chunk[] {
  const chunks: Chunk[] = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const data = png.subarray(at + 8, at + 8 + length);
    assert.equal(png.readUInt32BE(at + 8 + length), crc32(png.subarray(at + 4, at + 8 + length)));
    chunks.push({ type: png.toString('latin1', at + 4, at + 8), data });
    at += 12 + length;
  }
  return chunks;
}

/** Two pictures of 3 rows and 5 columns in which every value differs. */
const images = uint8(
  [2, 3, 5, 3],
  Uint8Array.from({ length: 90 }, (_, index) => 2 * index),
);

test('the pixels of a picture come back exactly, also of the second one', async () => {
  for (const index of [0, 1]) {
    const png = await encodePng(images, index, [{ keyword: 'prompt', text: 'x' }]);
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    assert.deepEqual([info.height, info.width, info.channels], [3, 5, 3]);
    assert.deepEqual(new Uint8Array(data), images.data.slice(45 * index, 45 * (index + 1)));
  }
});

test('texts are tEXt chunks, or iTXt where ASCII does not suffice, before the pixels', async () => {
  const texts = [
    { keyword: 'prompt', text: 'first line\nsecond line' },
    { keyword: 'negative_prompt', text: 'crème, звезда ★ 😀' },
    { keyword: 'empty', text: '' },
  ];
  const chunks = readChunks(await encodePng(images, 0, texts));
  assert.deepEqual(
    chunks.map(({ type }) => type).filter((type) => /IHDR|IDAT|IEND|tEXt|iTXt/.test(type)),
    ['IHDR', 'tEXt', 'iTXt', 'tEXt', 'IDAT', 'IEND'],
  );
  assert.equal(chunks[1]?.data.toString('latin1'), 'prompt\0first line\nsecond line');
  assert.equal(chunks[2]?.data.toString('utf8'), 'negative_prompt\0\0\0\0\0crème, звезда ★ 😀');
  const { comments } = await sharp(await encodePng(images, 0, texts)).metadata();
  assert.deepEqual(
    comments?.map(({ keyword, text }) => [keyword, text]),
    texts.map(({ keyword, text }) => [keyword, text]),
  );
});

test('a picture says how it was made', () => {
  const texts = describePicture({
    prompt: 'a yellow star, on a night sky',
    negativePrompt: 'clouds',
    model: 'tiny-shapes',
    seed: 1234n,
    rng: 'cpu',
    steps: 50,
    scheduler: 'ddim',
    guidanceScale: 5,
    height: 256,
    width: 320,
    ranks: 2,
    mode: 'displaced patches, full_sync',
    version: '1.2.3',
  });
  const byKeyword = Object.fromEntries(texts.map(({ keyword, text }) => [keyword, text]));
  assert.equal(byKeyword.prompt, 'a yellow star, on a night sky');
  assert.equal(byKeyword.seed, '1234');
  assert.equal(byKeyword.ranks, '2');
  assert.equal(byKeyword.Software, 'distri 1.2.3');
  assert.equal(
    byKeyword.parameters,
    'a yellow star, on a night sky\n' +
      'Negative prompt: clouds\n' +
      'Steps: 50, Sampler: ddim, CFG scale: 5, Seed: 1234, Size: 320x256, Model: tiny-shapes, RNG: CPU, Ranks: 2, ' +
      'Mode: "displaced patches, full_sync", Version: distri 1.2.3',
  );
});

test('a full disk is an output error that names the file', async () => {
  await assert.rejects(writePng('/dev/full', images, 0, []), {
    code: 'output',
    message: '/dev/full: no space left on the device',
  });
});
