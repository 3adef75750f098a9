import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodePng } from '../../src/images/png.js';
import { readPngTexts } from '../../src/images/png-text.js';

const pixels = { dtype: 'uint8', shape: [1, 2, 3, 3], data: new Uint8Array(18) } as const;
const texts = [
  { keyword: 'prompt', text: 'a red heart' },
  { keyword: 'negative_prompt', text: '' },
  { keyword: 'parameters', text: 'ein grünes Dreieck\n😀' },
];

async function inFile<T>(bytes: Uint8Array, use: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'distri-png-'));
  try {
    await writeFile(join(folder, 'a.png'), bytes);
    return await use(join(folder, 'a.png'));
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('the texts that are written are read', async () => {
  const png = await encodePng(pixels, 0, texts);
  assert.deepEqual(
    [...((await inFile(png, readPngTexts)) ?? [])],
    texts.map(({ keyword, text }) => [keyword, text]),
  );
});

test('a PNG that is cut anywhere, or none at all, has no texts', async () => {
  const png = await encodePng(pixels, 0, texts);
  for (let length = 0; length < png.length; length++) {
    assert.equal(await inFile(png.subarray(0, length), readPngTexts), undefined, `${length} bytes`);
  }
  assert.equal(await inFile(Buffer.from('hello '.repeat(20)), readPngTexts), undefined);
});

test('texts as long as no prompt are passed over, and so are chunks without end', async () => {
  const long = await encodePng(pixels, 0, [{ keyword: 'x', text: 'x'.repeat(2 ** 24) }, ...texts]);
  assert.deepEqual(
    [...((await inFile(long, readPngTexts)) ?? new Map()).keys()],
    texts.map(({ keyword }) => keyword),
  );
  const many = await encodePng(pixels, 0, Array(1000).fill({ keyword: 'x', text: '' }));
  assert.equal(await inFile(many, readPngTexts), undefined);
});

test('lengths beyond the end of the file are not believed', async () => {
  const png = await encodePng(pixels, 0, texts);
  png.writeUInt32BE(0xfffffff0, 8 + 25);
  assert.equal(await inFile(png, readPngTexts), undefined);
});
