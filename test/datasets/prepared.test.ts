import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { binary, list, struct, tableFromArrays, tableToIPC, utf8 } from '@uwdata/flechette';
import { embeddedDataset } from '../../src/base/package.js';
import { choosePrompts } from '../../src/datasets/caption-dataset.js';
import { openCaptionDataset } from '../../src/datasets/open.js';

const open = () => openCaptionDataset('HuggingFaceM4/COCO', embeddedDataset);

/** As `datasets` writes it: images are bytes, or files in its cache. */
function table(rows: readonly { image: object; captions: readonly string[] }[]): Uint8Array {
  const columns = {
    image: rows.map(({ image }) => image),
    sentences_raw: rows.map(({ captions }) => captions),
  };
  const types = { image: struct({ bytes: binary(), path: utf8() }), sentences_raw: list(utf8()) };
  const bytes = tableToIPC(tableFromArrays(columns, { types }), { format: 'stream' });
  assert.ok(bytes !== null);
  return bytes;
}

describe("a data set that Python's datasets prepared", () => {
  let home: string;
  let folder: string;
  let environment: NodeJS.ProcessEnv;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'distri-prepared-'));
    folder = join(home, 'datasets/HuggingFaceM4___coco/2014_captions/1.0.0/0123abcd');
    await mkdir(folder, { recursive: true });
    environment = { ...process.env };
    for (const name of Object.keys(process.env)) if (/^HF_/.test(name)) delete process.env[name];
    process.env.HF_HOME = home;
    process.env.HF_HUB_OFFLINE = '1';
    await writeFile(join(home, 'one.jpg'), 'one');
    await writeFile(
      join(folder, 'coco-validation.arrow'),
      table([
        { image: { bytes: Uint8Array.of(255, 0), path: null }, captions: ['zero a', 'zero b'] },
        { image: { bytes: null, path: join(home, 'one.jpg') }, captions: ['one a', 'one b'] },
      ]),
    );
    await writeFile(join(folder, 'coco-train.arrow'), 'not read');
  });
  afterEach(async () => {
    process.env = environment;
    await rm(home, { recursive: true });
  });

  it('is found in the cache and read, images from their own files as well', async () => {
    const dataset = await open();
    assert.deepEqual(choosePrompts(dataset), ['zero a', 'one b']);
    const reader = await dataset.openImages();
    await reader.check(2);
    assert.deepEqual([...(await reader.read(0)).bytes], [255, 0]);
    assert.equal(Buffer.from((await reader.read(1)).bytes).toString(), 'one');
    process.env.HF_DATASETS_CACHE = join(home, 'elsewhere');
    await assert.rejects(open(), /no Parquet files of it in .*datasets--HuggingFaceM4--COCO \(offline\)/);
  });

  it('whose image is gone is refused with the path', async () => {
    await rm(join(home, 'one.jpg'));
    const reader = await (await open()).openImages();
    await assert.rejects(
      reader.check(2),
      /one\.jpg: no such image, but .*coco-validation\.arrow: row 1 names it$/,
    );
  });

  it('that is cut short is refused, wherever', async () => {
    const path = join(folder, 'coco-validation.arrow');
    for (const size of [700, 300, 3]) {
      await truncate(path, size);
      await assert.rejects(open(), /coco-validation\.arrow: not a whole stream in Arrow's format: /);
    }
  });

  it('in several files needs all of them', async () => {
    await rm(join(folder, 'coco-validation.arrow'));
    const rows = [0, 1].map((row) =>
      table([{ image: { bytes: Uint8Array.of(row), path: null }, captions: [`${row}`] }]),
    );
    await writeFile(join(folder, 'coco-validation-00001-of-00002.arrow'), rows[1] as Uint8Array);
    await assert.rejects(open(), /no Parquet files of it/);
    await writeFile(join(folder, 'coco-validation-00000-of-00002.arrow'), rows[0] as Uint8Array);
    assert.deepEqual(choosePrompts(await open()), ['0', '1']);
  });
});
