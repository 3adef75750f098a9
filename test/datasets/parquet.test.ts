import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { embeddedDataset } from '../../src/base/package.js';
import { type CaptionDataset, choosePrompts } from '../../src/datasets/caption-dataset.js';
import { openCaptionDataset } from '../../src/datasets/open.js';
import { chooseParquetFiles } from '../../src/datasets/parquet-files.js';
import { HubServer } from '../checkpoint/fixtures/hub-server.js';

const open = (name: string) => openCaptionDataset(name, embeddedDataset);

/** Bytes that are not text. */
const imageOf = (row: number) => Uint8Array.of(0xff, 0xd8, row, 0, 0xfe);
const captionsOf = (row: number) => [`${row} éa`, `${row} b`, `${row} c`];

type Schema = NonNullable<Parameters<typeof parquetWriteBuffer>[0]['schema']>;

/**
 * As the hub converts HuggingFaceM4/COCO: a struct for the image, a list of captions, other columns. Two rows
 * per group.
 */
const schema: Schema = [
  { name: 'root', num_children: 3 },
  { name: 'image', num_children: 2, repetition_type: 'OPTIONAL' },
  { name: 'bytes', type: 'BYTE_ARRAY', repetition_type: 'OPTIONAL' },
  { name: 'path', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
  { name: 'imgid', type: 'INT32', repetition_type: 'OPTIONAL' },
  { name: 'sentences_raw', num_children: 1, repetition_type: 'OPTIONAL', converted_type: 'LIST' },
  { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
  { name: 'element', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
];

function table(first: number, end: number, image: (row: number) => unknown = imageOf): Uint8Array {
  const rows = Array.from({ length: end - first }, (_, index) => first + index);
  return new Uint8Array(
    parquetWriteBuffer({
      schema,
      columnData: [
        { name: 'image', data: rows.map((row) => ({ bytes: image(row), path: `${row}.jpg` })) },
        { name: 'imgid', data: rows },
        { name: 'sentences_raw', data: rows.map(captionsOf) },
      ],
      rowGroupSize: 2,
    }),
  );
}

async function checkRows(dataset: CaptionDataset, count: number): Promise<void> {
  const rows = Array.from({ length: count }, (_, row) => row);
  assert.deepEqual(
    choosePrompts(dataset),
    rows.map((row) => captionsOf(row)[row % 3]),
  );
  const reader = await dataset.openImages();
  await reader.check(count);
  for (const row of [...rows, 0])
    assert.deepEqual(new Uint8Array((await reader.read(row)).bytes), imageOf(row));
  await reader.close();
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-parquet-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function failure(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => assert.fail('did not fail'),
    (thrown) => thrown,
  );
  assert.ok(error instanceof Error && 'exitStatus' in error, String(error));
  assert.ok(!error.message.includes('\n'), 'is one line');
  return error.message;
}

describe('a data set in Parquet files', () => {
  it('gives captions and images in the order of its files and rows', async () => {
    await mkdir(join(folder, 'data'));
    await writeFile(join(folder, 'data/validation-00000-of-00002.parquet'), table(0, 5));
    await writeFile(join(folder, 'data/validation-00001-of-00002.parquet'), table(5, 8));
    await writeFile(join(folder, 'data/train-00000-of-00001.parquet'), table(90, 91));
    await checkRows(await open(folder), 8);
  });

  it('may be one file, with one caption in each row', async () => {
    const path = join(folder, 'table.parquet');
    const columnData = [
      { name: 'caption', data: ['one', 'two'], type: 'STRING' as const },
      { name: 'image', data: [imageOf(0), imageOf(1)], type: 'BYTE_ARRAY' as const },
    ];
    await writeFile(path, new Uint8Array(parquetWriteBuffer({ columnData })));
    const dataset = await open(path);
    assert.deepEqual(choosePrompts(dataset), ['one', 'two']);
    assert.deepEqual(new Uint8Array((await (await dataset.openImages()).read(1)).bytes), imageOf(1));
  });

  it('that is cut short is refused with the name of the file', async () => {
    const path = join(folder, 'table.parquet');
    await writeFile(path, table(0, 4));
    await truncate(path, 300);
    assert.match(await failure(open(path)), /table\.parquet: not a whole Parquet file: /);
  });

  it('without captions is refused with the columns that it has', async () => {
    const path = join(folder, 'table.parquet');
    const columnData = [{ name: 'label', data: [1, 2] }];
    await writeFile(path, new Uint8Array(parquetWriteBuffer({ columnData })));
    assert.match(
      await failure(open(path)),
      /table\.parquet: has no column sentences_raw, .* of captions, but label$/,
    );
  });

  it('without the bytes of an image is refused with its row', async () => {
    const path = join(folder, 'table.parquet');
    await writeFile(
      path,
      table(0, 4, (row) => (row === 3 ? undefined : imageOf(row))),
    );
    const reader = await (await open(path)).openImages();
    await reader.read(1);
    assert.match(await failure(reader.read(2)), /table\.parquet: row 3: has no image in its column image$/);
  });
});

describe('of the Parquet files of a data set', () => {
  it('those of the validation split of the captions are chosen', () => {
    const paths = ['2014/validation/0000.parquet', '2014_captions/validation/0001.parquet'];
    const others = [
      '2014_captions/validation/0000.parquet',
      '2014_captions/partial-train/0000.parquet',
      'COCO.py',
    ];
    assert.deepEqual(chooseParquetFiles([...paths, ...others], 'it'), [
      '2014_captions/validation/0000.parquet',
      '2014_captions/validation/0001.parquet',
    ]);
    assert.deepEqual(chooseParquetFiles(['default/partial-train/0000.parquet'], 'it'), [
      'default/partial-train/0000.parquet',
    ]);
    assert.deepEqual(chooseParquetFiles(['README.md'], 'it'), []);
  });

  it('one that is missing is noticed, and a choice that is not clear', () => {
    assert.throws(() => chooseParquetFiles(['data/val-00001-of-00003.parquet'], 'it'), {
      message: 'it: has 1 of the 3 Parquet files of data/val-00001-of-00003.parquet',
    });
    assert.throws(() => chooseParquetFiles(['a/test.parquet', 'a/train.parquet'], 'it'), {
      message:
        'it: has the splits test, train and none of them is validation or val; give a folder with the Parquet files of one',
    });
  });
});

describe('a data set of the hub', () => {
  const id = 'some-org/captions';
  let server: HubServer;
  let environment: NodeJS.ProcessEnv;
  beforeEach(async () => {
    server = new HubServer(id, 'dataset');
    await server.start();
    environment = { ...process.env };
    for (const name of Object.keys(process.env)) if (/^HF_/.test(name)) delete process.env[name];
    process.env.HF_HOME = folder;
    process.env.HF_ENDPOINT = server.url;
  });
  afterEach(async () => {
    process.env = environment;
    await server.stop();
  });

  const paths = ['2014_captions/validation/0000.parquet', '2014_captions/validation/0001.parquet'];
  const converted = {
    [paths[0] as string]: table(0, 3),
    [paths[1] as string]: table(3, 5),
    '2014_captions/partial-train/0000.parquet': table(50, 60),
  };

  it('is downloaded as far as it is needed, and read from the cache afterwards', async () => {
    server.push('main', { 'COCO.py': Buffer.from('# a script'), 'README.md': Buffer.from('COCO') });
    const commit = server.push('refs/convert/parquet', converted);
    await checkRows(await open(id), 5);
    assert.deepEqual(server.transfers, paths);
    const snapshot = join(folder, 'hub/datasets--some-org--captions/snapshots', commit);
    assert.deepEqual(
      new Uint8Array(await readFile(join(snapshot, paths[0] as string))),
      converted[paths[0] as string],
    );

    await checkRows(await open(id), 5);
    assert.equal(server.transfers.length, 2);
    await server.stop();
    await checkRows(await open(id), 5);
    process.env.HF_HUB_OFFLINE = '1';
    await checkRows(await open(id), 5);
  });

  it('whose list of files leads out of the cache is refused before anything is written', async () => {
    server.push('main', converted);
    for (const path of ['../../../../x.parquet', '/tmp/distri-x.parquet', 'data//x.parquet', 'x\0.parquet']) {
      server.listedToo.splice(0, 1, { type: 'file', path, size: 3, oid: 'a'.repeat(40) });
      assert.match(
        await failure(open(id)),
        /^some-org\/captions: http:.* gives the path ".*, which is not one$/,
      );
    }
    assert.deepEqual(await readdir(folder), []);
  });

  it('is taken from its main branch where that has Parquet files', async () => {
    server.push('main', { 'data/validation-00000-of-00001.parquet': table(0, 3) });
    server.push('refs/convert/parquet', converted);
    await checkRows(await open(id), 3);
  });

  it('without Parquet files, unknown, or not in the cache is refused', async () => {
    server.push('main', { 'COCO.py': Buffer.from('# a script') });
    assert.match(await failure(open(id)), /^some-org\/captions: the hub has no Parquet files of it/);
    assert.match(
      await failure(open('some-org/other')),
      /^some-org\/other: no such folder, and no such data set with/,
    );
    process.env.HF_HUB_OFFLINE = '1';
    assert.match(
      await failure(open(id)),
      /no Parquet files of it in .*datasets--some-org--captions \(offline\)/,
    );
  });
});
