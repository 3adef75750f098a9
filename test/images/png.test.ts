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

test('a picture says all that it was made with', () => {
  const texts = describePicture({
    prompt: 'a yellow star, on a night sky',
    negativePrompt: 'clouds',
    model: 'tiny-shapes',
    variant: 'fp16',
    seed: 1234n,
    rng: 'cpu',
    batch: { index: 3, size: 4, imagesPerPrompt: 2 },
    steps: 50,
    scheduler: 'ddim',
    eta: 0.5,
    guidanceScale: 5,
    height: 256,
    width: 320,
    initImage: '/pictures/sketch.png',
    strength: 0.6,
    family: { useResolutionBinning: true },
    tiles: 512,
    ranks: 2,
    threads: 4,
    dtype: 'fp32',
    engine: 'onnxruntime',
    parallel: { parallelism: 'patch', split_batch: false, sync_mode: 'full_sync', warmup_steps: 4 },
    mode: 'displaced patches, full_sync',
    version: '1.2.3',
  });
  const byKeyword = Object.fromEntries(texts.map(({ keyword, text }) => [keyword, text]));
  const { parameters, ...others } = byKeyword;
  assert.deepEqual(others, {
    prompt: 'a yellow star, on a night sky',
    negative_prompt: 'clouds',
    model: 'tiny-shapes',
    variant: 'fp16',
    seed: '1234',
    rng: 'cpu',
    batch_index: '3',
    batch_size: '4',
    num_images_per_prompt: '2',
    num_inference_steps: '50',
    scheduler: 'ddim',
    eta: '0.5',
    guidance_scale: '5',
    height: '256',
    width: '320',
    init_image: '/pictures/sketch.png',
    strength: '0.6',
    use_resolution_binning: 'true',
    vae_tiles: '512',
    ranks: '2',
    threads: '4',
    dtype: 'fp32',
    engine: 'onnxruntime',
    parallelism: 'patch',
    split_batch: 'false',
    sync_mode: 'full_sync',
    warmup_steps: '4',
    mode: 'displaced patches, full_sync',
    Software: 'distri 1.2.3',
  });
  assert.equal(
    parameters,
    'a yellow star, on a night sky\n' +
      'Negative prompt: clouds\n' +
      'Steps: 50, Sampler: ddim, CFG scale: 5, Seed: 1234, Size: 320x256, Model: tiny-shapes, ' +
      'Denoising strength: 0.6, Eta: 0.5, Batch size: 4, Batch pos: 3, RNG: CPU, Ranks: 2, ' +
      'Mode: "displaced patches, full_sync", Version: distri 1.2.3',
  );
});

test('a full disk is an output error that names the file', async () => {
  await assert.rejects(writePng('/dev/full', images, 0, []), {
    code: 'output',
    message: '/dev/full: no space left on the device',
  });
});
