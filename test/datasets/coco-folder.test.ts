import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import sharp from 'sharp';
import { ZipFile } from 'yazl';
import { embeddedDataset } from '../../src/base/package.js';
import { choosePrompts } from '../../src/datasets/caption-dataset.js';
import { EMBEDDED_DATASET, openCaptionDataset } from '../../src/datasets/open.js';

const open = (name: string) => openCaptionDataset(name, embeddedDataset);

/** Images out of order of their ids, their captions mixed. */
const annotations = {
  images: [
    { id: 7, file_name: 'COCO_val2014_000000000007.jpg' },
    { id: 3, file_name: 'COCO_val2014_000000000003.jpg' },
  ],
  annotations: [
    { id: 1, image_id: 3, caption: 'three, first' },
    { id: 2, image_id: 7, caption: 'seven, first' },
    { id: 3, image_id: 3, caption: 'three, second' },
    { id: 4, image_id: 7, caption: 'seven, second' },
  ],
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-dataset-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function write(path: string, content: unknown): Promise<void> {
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  await mkdir(join(folder, path, '..'), { recursive: true });
  await writeFile(join(folder, path), text);
}

async function zip(path: string, files: Readonly<Record<string, string>>): Promise<void> {
  const archive = new ZipFile();
  for (const [name, content] of Object.entries(files)) archive.addBuffer(Buffer.from(content), name);
  archive.end();
  await writeFile(join(folder, path), await buffer(archive.outputStream as Readable));
}

async function failure(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => assert.fail('did not fail'),
    (thrown) => thrown,
  );
  assert.ok(error instanceof Error && 'exitStatus' in error, String(error));
  assert.equal(error.exitStatus, 10);
  assert.ok(!error.message.includes('\n'), 'is one line');
  assert.ok(error.message.startsWith(folder), error.message);
  return error.message.slice(folder.length).replace(/^\//, '');
}

describe('the embedded data set', () => {
  it('has 512 images of five captions each, all there and 256 pixels wide', async () => {
    const dataset = await open(EMBEDDED_DATASET);
    assert.equal(dataset.images.length, 512);
    assert.ok(dataset.images.every(({ captions }) => captions.length === 5));
    const reader = await dataset.openImages();
    await reader.check(512);
    const { width, height, format } = await sharp((await reader.read(511)).bytes).metadata();
    assert.deepEqual({ width, height, format }, { width: 256, height: 256, format: 'webp' });
  });

  it('gives image i its caption i modulo 5', async () => {
    const dataset = await open(EMBEDDED_DATASET);
    const prompts = choosePrompts(dataset);
    assert.equal(prompts[0], 'a drawing of a white square on gray');
    for (const i of [4, 5, 6, 511]) assert.equal(prompts[i], dataset.images[i]?.captions[i % 5]);
  });
});

describe('a folder in the format of COCO', () => {
  it('has the images in the order of the file, and their captions in that of the annotations', async () => {
    await write('annotations/captions_val2014.json', annotations);
    assert.deepEqual((await open(folder)).images, [
      { name: 'COCO_val2014_000000000007.jpg', captions: ['seven, first', 'seven, second'] },
      { name: 'COCO_val2014_000000000003.jpg', captions: ['three, first', 'three, second'] },
    ]);
    assert.deepEqual(choosePrompts(await open(folder)), ['seven, first', 'three, second']);
  });

  for (const place of ['images', 'val2014', '.', 'images/val2014']) {
    it(`may have its images in ${place}/`, async () => {
      await write('captions_val2014.json', annotations);
      for (const { id, file_name } of annotations.images)
        await write(join(place, file_name), `bytes of ${id}`);
      const reader = await (await open(folder)).openImages();
      await reader.check(2);
      assert.equal(Buffer.from((await reader.read(1)).bytes).toString(), 'bytes of 3');
    });
  }

  it('takes the validation captions where those for training lie beside them', async () => {
    await write('annotations/captions_train2014.json', { images: [], annotations: [] });
    await write('annotations/captions_val2014.json', annotations);
    assert.equal((await open(folder)).images.length, 2);
    assert.equal((await open(join(folder, 'annotations/captions_val2014.json'))).images.length, 2);
  });

  it("is read in the order of Karpathy's split where it has that", async () => {
    const image = (filename: string, split: string) => ({
      filename,
      split,
      filepath: 'val2014',
      sentences: [{ raw: `${filename} raw`, tokens: [] }],
    });
    await write('captions_val2014.json', annotations);
    await write('dataset_coco.json', {
      images: [
        image('COCO_val2014_2.jpg', 'val'),
        image('COCO_val2014_1.jpg', 'test'),
        image('COCO_val2014_0.jpg', 'val'),
      ],
    });
    await write('val2014/COCO_val2014_2.jpg', 'two');
    await write('val2014/COCO_val2014_0.jpg', 'zero');
    const dataset = await open(folder);
    assert.deepEqual(choosePrompts(dataset), ['COCO_val2014_2.jpg raw', 'COCO_val2014_0.jpg raw']);
    const reader = await dataset.openImages();
    await reader.check(2);
    assert.equal(Buffer.from((await reader.read(1)).bytes).toString(), 'zero');
  });

  it('without one of its images is refused with the first that is missing', async () => {
    await write('captions_val2014.json', annotations);
    await write(join('images', 'COCO_val2014_000000000007.jpg'), 'seven');
    const reader = await (await open(folder)).openImages();
    await reader.check(1);
    assert.equal(
      await failure(reader.check(2)),
      'images/COCO_val2014_000000000003.jpg: no such image, but the annotations name it',
    );
  });
});

describe('the archives that COCO comes in', () => {
  beforeEach(async () => {
    await zip('annotations_trainval2014.zip', {
      'annotations/captions_train2014.json': '{}',
      'annotations/instances_val2014.json': '{}',
      'annotations/captions_val2014.json': JSON.stringify(annotations),
    });
    await zip('val2014.zip', {
      'val2014/COCO_val2014_000000000003.jpg': 'three '.repeat(100),
      'val2014/COCO_val2014_000000000007.jpg': 'seven',
    });
  });

  it('are read without unpacking them', async () => {
    const dataset = await open(folder);
    assert.deepEqual(choosePrompts(dataset), ['seven, first', 'three, second']);
    const reader = await dataset.openImages();
    await reader.check(2);
    assert.equal(Buffer.from((await reader.read(1)).bytes).toString(), 'three '.repeat(100));
    await reader.close();
  });

  it('are refused without an image, when they are damaged, or cut short', async () => {
    const path = join(folder, 'val2014.zip');
    const whole = await readFile(path);
    const damaged = Buffer.from(whole);
    // The first file's compressed data.
    damaged.fill(0x55, 80, 84);
    await writeFile(path, damaged);
    const reader = await (await open(folder)).openImages();
    assert.match(
      await failure(reader.read(1)),
      /^val2014\.zip: val2014\/COCO_val2014_0{11}3\.jpg: cannot be read from the archive: /,
    );
    await reader.close();

    await writeFile(path, whole.subarray(0, whole.length - 40));
    assert.match(
      await failure((await open(folder)).openImages()),
      /^val2014\.zip: cannot be read from the archive: /,
    );

    await zip('val2014.zip', { 'val2014/COCO_val2014_000000000007.jpg': 'seven' });
    const short = await (await open(folder)).openImages();
    assert.equal(
      await failure(short.check(2)),
      'val2014.zip: no image COCO_val2014_000000000003.jpg, but the annotations name it',
    );
  });
});

describe('files that ask for too much', () => {
  const NAME = 'val2014/COCO_val2014_000000000007.jpg';
  const LARGE = 300_000_000;

  /** `size` zeros in a zip of a few hundred kilobytes. */
  async function zipZeros(path: string, name: string, size: number): Promise<Buffer> {
    const archive = new ZipFile();
    const zeros = Buffer.alloc(1_000_000);
    archive.addReadStream(Readable.from(Array(size / zeros.length).fill(zeros)), name);
    archive.end();
    const bytes = await buffer(archive.outputStream as Readable);
    await writeFile(join(folder, path), bytes);
    return bytes;
  }

  async function failureInLittleMemory(work: () => Promise<unknown>): Promise<string> {
    const before = process.resourceUsage().maxRSS;
    const message = await failure(work());
    const grown = (process.resourceUsage().maxRSS - before) * 1024;
    assert.ok(grown < 100e6, `${grown} bytes more`);
    return message;
  }

  it('as an image in an archive are refused', async () => {
    await write('captions_val2014.json', annotations);
    await zipZeros('val2014.zip', NAME, LARGE);
    const reader = await (await open(folder)).openImages();
    assert.equal(
      await failureInLittleMemory(() => reader.read(0)),
      `val2014.zip: ${NAME}: cannot be read from the archive: 300 MB, but at most 268 MB are expected of an image`,
    );
    await reader.close();
  });

  it('as an image in an archive that says it is short are refused', async () => {
    await write('captions_val2014.json', annotations);
    const bytes = await zipZeros('val2014.zip', NAME, LARGE);
    const directory = bytes.lastIndexOf(Buffer.from('PK\x01\x02', 'latin1'));
    bytes.writeUInt32LE(1000, directory + 24);
    await writeFile(join(folder, 'val2014.zip'), bytes);
    const reader = await (await open(folder)).openImages();
    assert.match(
      await failureInLittleMemory(() => reader.read(0)),
      /^val2014\.zip: .*: cannot be read from the archive: too many bytes in the stream/,
    );
    await reader.close();
  });

  it('as annotations, in an archive or not, are refused', async () => {
    await zipZeros('annotations_trainval2014.zip', 'annotations/captions_val2014.json', LARGE);
    assert.match(
      await failureInLittleMemory(() => open(folder)),
      /captions_val2014\.json: .*: 300 MB, but at most 268 MB are expected of annotations$/,
    );
    await write('captions_val2014.json', '');
    await truncate(join(folder, 'captions_val2014.json'), 2 ** 40);
    assert.match(
      await failureInLittleMemory(() => open(folder)),
      /^captions_val2014\.json: 1\.10 TB, but at most 268 MB/,
    );
  });

  it('as annotations of nothing but lists are refused before they are built', async () => {
    await write('captions_val2014.json', `{"images":[${'[],'.repeat(8_100_000)}[]]}`);
    assert.equal(await failure(open(folder)), 'captions_val2014.json: has more than 16000000 values');
  });
});

describe('files that are none', { timeout: 30_000 }, () => {
  it('are refused as annotations, archives and images, instead of waited for', async () => {
    const pipe = (path: string) => execFileSync('mkfifo', [join(folder, path)]);
    pipe('captions_val2014.json');
    assert.equal(await failure(open(folder)), 'captions_val2014.json: not a regular file');
    await rm(join(folder, 'captions_val2014.json'));

    pipe('annotations_val2014.zip');
    assert.equal(await failure(open(folder)), 'annotations_val2014.zip: not a regular file');
    await rm(join(folder, 'annotations_val2014.zip'));

    await write('captions_val2014.json', annotations);
    pipe('val2014.zip');
    assert.equal(await failure((await open(folder)).openImages()), 'val2014.zip: not a regular file');

    pipe('COCO_val2014_000000000007.jpg');
    const reader = await (await open(folder)).openImages();
    assert.equal(await failure(reader.read(0)), 'COCO_val2014_000000000007.jpg: not a regular file');
  });

  it('are closed when they turn out to be no archives', async () => {
    await write('captions_val2014.json', annotations);
    await write('a.zip', 'no archive');
    await zip('b.zip', { 'x.jpg': 'x' });
    const openFiles = () => readdirSync('/proc/self/fd').length;
    const before = openFiles();
    await failure((await open(folder)).openImages());
    await rm(join(folder, 'captions_val2014.json'));
    await zip('annotations_val2014.zip', { 'captions_val2014.json': '{}' });
    await failure(open(folder));
    await delay(50);
    assert.equal(openFiles(), before);
  });
});

it('names in annotations reach messages without what a terminal obeys, and not at full length', async () => {
  const file_name = `\u001b[31m\u009b${'x'.repeat(1000)}.jpg`;
  await write('captions_val2014.json', {
    images: [{ id: 7, file_name }],
    annotations: annotations.annotations.slice(1, 2),
  });
  const reader = await (await open(folder)).openImages();
  const message = await failure(reader.check(1));
  assert.match(message, /^images\/\\u001b\[31m\\u009bxxx/);
  assert.ok(message.length < 400);
});

describe('annotations that are malformed', () => {
  const [first, second] = annotations.images;
  const cases: readonly [string, unknown, string | RegExp][] = [
    ['cut short', JSON.stringify(annotations).slice(0, 200), /^: not JSON, or cut short: /],
    ['a list', [1], ': not a JSON object'],
    ['without images', { annotations: [] }, ': expected a list for images but found nothing'],
    ['with no image', { images: [], annotations: [] }, ': has no images'],
    [
      'with an image that is none',
      { ...annotations, images: [first, 5] },
      ': images[1]: expected an object but found 5',
    ],
    [
      'with a text for an id',
      { ...annotations, images: [{ ...first, id: 'x' }] },
      ': images[0]: expected an integer for id but found "x"',
    ],
    [
      'with a number for a name',
      { ...annotations, images: [{ id: 7, file_name: 5 }] },
      ': images[0]: expected a string for file_name but found 5',
    ],
    [
      'with a name outside of the folder',
      { ...annotations, images: [{ id: 7, file_name: '../7.jpg' }] },
      ': images[0]: expected the name of a file in the data set for file_name but found "../7.jpg"',
    ],
    [
      'with an id twice',
      { ...annotations, images: [first, second, first] },
      ': images[2]: a second image with the id 7',
    ],
    [
      'of an image that is not listed',
      { ...annotations, images: [first] },
      ': annotations[0]: there is no image with the id 3',
    ],
    [
      'without a caption for an image',
      { ...annotations, annotations: annotations.annotations.slice(1, 2) },
      ': the image COCO_val2014_000000000003.jpg has no caption',
    ],
  ];
  for (const [name, content, message] of cases) {
    it(`(${name}) are refused in one line`, async () => {
      await write('captions_val2014.json', content);
      const problem = (await failure(open(folder))).replace('captions_val2014.json', '');
      if (typeof message === 'string') assert.equal(problem, message);
      else assert.match(problem, message);
    });
  }

  it('(none at all) are refused in one line', async () => {
    await write('images/one.jpg', 'one');
    assert.match(await failure(open(join(folder, '.'))), /^: not a data set: no captions_val2014\.json/);
  });
});
