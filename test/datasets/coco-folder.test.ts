import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';
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
  async function zip(path: string, files: Readonly<Record<string, string>>): Promise<void> {
    const archive = new ZipFile();
    for (const [name, content] of Object.entries(files)) archive.addBuffer(Buffer.from(content), name);
    archive.end();
    await writeFile(join(folder, path), await buffer(archive.outputStream as Readable));
  }

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
