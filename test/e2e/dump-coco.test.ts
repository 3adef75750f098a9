import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { embeddedDataset } from '../../src/base/package.js';
import { Cli, inNewFolder } from './cli.js';

test('the embedded images are written with the pixels that are stored, and the captions that are drawn', () =>
  inNewFolder(async (folder) => {
    const { status, stdout, stderr } = await new Cli(['dump-coco', '--limit', '7'], folder).ended;
    assert.equal(status, 0, stderr);
    assert.equal(stdout, `${join(folder, 'coco')}\n`);
    assert.deepEqual(await readdir(join(folder, 'coco')), ['images', 'prompts.json']);
    const names = Array.from({ length: 7 }, (_, index) => `000${index}.png`);
    assert.deepEqual((await readdir(join(folder, 'coco/images'))).sort(), names);
    for (const [index, name] of names.entries()) {
      const stored = join(embeddedDataset, 'images', `shapes_val_00000${index + 1}.webp`);
      const [written, expected] = await Promise.all(
        [join(folder, 'coco/images', name), stored].map((path) => sharp(path).raw().toBuffer()),
      );
      assert.ok(written?.equals(expected as Buffer), `${name} differs`);
    }
    const prompts: unknown = JSON.parse(await readFile(join(folder, 'coco/prompts.json'), 'utf8'));
    assert.ok(Array.isArray(prompts));
    assert.equal(prompts.length, 7);
    assert.equal(prompts[0], 'a drawing of a white square on gray');
  }));

test('grey stays grey, orientation is not applied, and prompts.json is ASCII as Python writes it', () =>
  inNewFolder(async (folder) => {
    const plain = sharp({ create: { width: 12, height: 8, channels: 3, background: '#468' } });
    await mkdir(join(folder, 'images'));
    await plain.clone().toColourspace('b-w').jpeg().toFile(join(folder, 'images/0.jpg'));
    await plain.clone().withMetadata({ orientation: 6 }).jpeg().toFile(join(folder, 'images/1.jpg'));
    const captions = ['a "café"\n', '\u{1f600}\u007f'];
    const annotations = {
      images: captions.map((_, id) => ({ id, file_name: `${id}.jpg` })),
      annotations: [0, 1].flatMap((id) => captions.map((caption) => ({ image_id: id, caption }))),
    };
    await writeFile(join(folder, 'captions_val2014.json'), JSON.stringify(annotations));
    const { status, stderr } = await new Cli(['dump-coco', '--dataset', '.'], folder).ended;
    assert.equal(status, 0, stderr);
    assert.equal(
      await readFile(join(folder, 'coco/prompts.json'), 'utf8'),
      '[\n    "a \\"caf\\u00e9\\"\\n",\n    "\\ud83d\\ude00\\u007f"\n]',
    );
    const [grey, turned] = await Promise.all(
      [0, 1].map((index) => sharp(join(folder, `coco/images/000${index}.png`)).metadata()),
    );
    assert.deepEqual([grey?.channels, grey?.width, grey?.height], [1, 12, 8]);
    assert.deepEqual([turned?.channels, turned?.width, turned?.height], [3, 12, 8]);
  }));

test('a missing image and one that cannot be read are refused in one line', () =>
  inNewFolder(async (folder) => {
    const annotations = {
      images: [
        { id: 1, file_name: '1.jpg' },
        { id: 2, file_name: '2.jpg' },
      ],
      annotations: [1, 2].map((id) => ({ image_id: id, caption: 'a picture' })),
    };
    await writeFile(join(folder, 'captions_val2014.json'), JSON.stringify(annotations));
    await writeFile(join(folder, '1.jpg'), 'not a picture');
    const missing = await new Cli(['dump-coco', '--dataset', '.'], folder).ended;
    assert.equal(missing.status, 10);
    assert.match(missing.stderr, /^distri: \S+\/2\.jpg: no such image, but the annotations name it\n$/);
    assert.ok(!(await readdir(folder)).includes('coco'), 'before anything is written');
    const broken = await new Cli(['dump-coco', '--dataset', '.', '--limit', '1'], folder).ended;
    assert.equal(broken.status, 10);
    assert.match(broken.stderr, /^distri: \S+\/1\.jpg: not an image that can be read: [^\n]+\n$/);
  }));
