import assert from 'node:assert/strict';
import { readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import sharp from 'sharp';
import { embeddedDataset } from '../../src/base/package.js';
import { choosePrompts } from '../../src/datasets/caption-dataset.js';
import { openCaptionDataset } from '../../src/datasets/open.js';
import { tinySd15 } from '../support/golden.js';
import { tinyPixArt } from '../support/golden-dit.js';
import { Cli, type Ended, inNewFolder } from './cli.js';

const few = ['--num_inference_steps', '2', '--threads', '1'];
const one = [...few, '-n', '1', '--limit', '8'];
const KILLS = 4;

function generate(folder: string, ...args: readonly string[]): Promise<Ended> {
  return new Cli(['generate-coco', ...args], folder).ended;
}

async function draw(folder: string, ...args: readonly string[]): Promise<Ended> {
  const ended = await generate(folder, ...args);
  assert.equal(ended.status, 0, ended.stderr);
  return ended;
}

function names(first: number, end: number): string[] {
  return Array.from({ length: end - first }, (_, index) => `${String(first + index).padStart(4, '0')}.png`);
}

/** The pictures in `folder`, after making sure that there is nothing else but the settings. */
async function pictures(folder: string): Promise<Map<string, Buffer>> {
  const files = (await readdir(folder)).filter((name) => name !== 'settings.json').sort();
  return new Map(
    await Promise.all(files.map(async (name) => [name, await readFile(join(folder, name))] as const)),
  );
}

test('a picture is drawn from caption i modulo their number, with seed i', () =>
  inNewFolder(async (folder) => {
    const { stdout, stderr } = await draw(folder, ...one);
    const root = join(folder, 'results/coco/ddim-2/gpus1-warmup4-corrected_async_gn');
    assert.equal(stdout, `${root}\n`);
    assert.match(stderr, /^8 images in [\d.]+ s, \d+\.?\d* images\/s$/m);
    assert.match(stderr, /^drawing \d+\/16 steps, \d of 8 done, [\d.]+ m?s\/step, \d+:\d\d left$/m);
    const drawn = await pictures(root);
    assert.deepEqual([...drawn.keys()], names(0, 8));
    const prompts = choosePrompts(await openCaptionDataset('shapes-val', embeddedDataset));
    const args = ['--prompt', prompts[7] ?? '', '--seed', '7', '--output_path', '7.png'];
    const { status } = await new Cli(['run-sdxl', ...few, '-n', '1', ...args], folder).ended;
    assert.equal(status, 0);
    assert.ok(drawn.get('0007.png')?.equals(await readFile(join(folder, '7.png'))));
  }));

test('a run that is killed at any moment leaves whole pictures, and the same command ends with those of an undisturbed run', () =>
  inNewFolder(async (folder) => {
    const args = [...few, '-n', '2', '--data_parallel', '2', '--limit', '28'];
    await draw(folder, ...args, '--output_root', 'undisturbed');
    const disturbed = [...args, '--output_root', 'disturbed'];
    const moments: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const cli = new Cli(['generate-coco', ...disturbed], folder);
      moments.push(Math.floor(120 * Math.random()));
      await cli.said(/^drawing .*, [1-9]\d* of \d+ done/m);
      await delay(moments.at(-1));
      cli.signalGroup('SIGKILL');
      await cli.ended;
      for (const name of await readdir(join(folder, 'disturbed')).catch(() => [])) {
        if (name.endsWith('.png'))
          await sharp(join(folder, 'disturbed', name), { failOn: 'warning' })
            .raw()
            .toBuffer();
      }
    }
    const { stderr } = await draw(folder, ...disturbed);
    const there = Number(/^(\d+) of 28 images are there already$/m.exec(stderr)?.[1]);
    assert.ok(there > 0 && there < 28, `${there} pictures after the last kill, killed after ${moments} ms`);
    const [expected, actual] = await Promise.all(
      ['undisturbed', 'disturbed'].map((name) => pictures(join(folder, name))),
    );
    assert.deepEqual([...(expected?.keys() ?? [])], names(0, 28));
    assert.deepEqual([...(actual?.keys() ?? [])], names(0, 28), `killed after ${moments} ms`);
    for (const [name, bytes] of expected ?? []) {
      assert.ok(actual?.get(name)?.equals(bytes), `${name} differs, killed after ${moments} ms`);
    }
  }));

const drawnBy = (model: string) => {
  const picture = ['--image_size', '64', '--num_inference_steps', '2', '--limit', '2', '--threads', '1'];
  const ranks = ['-n', '2', '--no_split_batch', '--parallelism', 'tensor'];
  return ['--model', model, '--dataset', 'shapes-val', ...picture, ...ranks];
};

for (const [name, args, folderName] of [
  ['Stable Diffusion 1.5', drawnBy(tinySd15), 'pndm-2/gpus2-tensor'],
  ['PixArt-alpha', [...drawnBy(tinyPixArt), '--no_resolution_binning'], 'dpm-solver-2/gpus2-tensor'],
] as const) {
  test(`captions are drawn with ${name} as well, by its own defaults`, () =>
    inNewFolder(async (folder) => {
      const { stdout } = await draw(folder, ...args);
      assert.equal(stdout, `${join(folder, 'results', 'coco', folderName)}\n`);
      assert.deepEqual([...(await pictures(stdout.trimEnd())).keys()], names(0, 2));
    }));
}

test("an option of another family than the model's is refused", () =>
  inNewFolder(async (folder) => {
    const { status, stderr } = await generate(folder, ...drawnBy(tinySd15), '--no_resolution_binning');
    assert.equal(status, 2);
    assert.match(stderr, /^distri: --no_resolution_binning needs a model of PixArt-alpha, not Stable Diff/m);
  }));

test('parts that run at the same time fill one folder', () =>
  inNewFolder(async (folder) => {
    const part = (i: string) =>
      draw(folder, ...one, '--output_root', 'all', '--limit', '7', '--split', i, '3');
    await Promise.all(['0', '1', '2'].map(part));
    const all = join(folder, 'all');
    assert.deepEqual([...(await pictures(all)).keys()], names(0, 7));
    const { stdout, stderr } = await part('2');
    assert.equal(stdout, `${all}\n`);
    assert.match(stderr, /^1 of 1 images are there already$/m);
    const { status, stderr: refusal } = await generate(folder, ...one, '--split', '3', '3');
    assert.equal(status, 2);
    assert.match(refusal, /^distri: Expected i n with 0 <= i < n for --split but received "3 3"/m);
  }));

test('a folder is continued only with its own settings and pictures', () =>
  inNewFolder(async (folder) => {
    const root = ['--output_root', 'p'];
    await draw(folder, ...one, ...root, '--limit', '3');
    const before = await pictures(join(folder, 'p'));

    const other = await generate(folder, ...one, ...root, '--guidance_scale', '3', '--scheduler', 'euler');
    assert.equal(other.status, 2);
    assert.match(
      other.stderr,
      /settings\.json: the folder's pictures were drawn with other settings \(guidance_scale is 5 there and 3 now; scheduler is "ddim" there and "euler" now\); choose another --output_root\n$/,
    );

    assert.deepEqual([...(await pictures(join(folder, 'p'))).keys()], names(0, 3), 'nothing else is left');

    // What a full disk or a crash of the machine can leave is drawn again.
    await truncate(join(folder, 'p', '0001.png'), 5000);
    await rm(join(folder, 'p', '0002.png'));
    const { stderr } = await draw(folder, ...one, ...root, '--limit', '3');
    assert.match(stderr, /^1 of 3 images are there already$/m);
    assert.deepEqual(await pictures(join(folder, 'p')), before);

    await rename(join(folder, 'p', '0002.png'), join(folder, 'p', '0001.png'));
    const foreign = await generate(folder, ...one, ...root);
    assert.equal(foreign.status, 2);
    assert.match(foreign.stderr, /0001\.png: not the picture of caption 1, seed 1; move it away or/);

    await writeFile(join(folder, 'p', 'settings.json'), '{"format": 1,');
    const torn = await generate(folder, ...one, ...root);
    assert.equal(torn.status, 8);
    assert.match(torn.stderr, /settings\.json: not the settings of a folder of pictures; choose another/);

    await rm(join(folder, 'p', 'settings.json'));
    const unknown = await generate(folder, ...one, ...root);
    assert.equal(unknown.status, 2);
    assert.match(
      unknown.stderr,
      /p: has pictures \(000\d\.png\) but no settings\.json that says how they were drawn/,
    );
  }));

test('a full disk ends the run at once, and leaves nothing torn', () =>
  inNewFolder(async (folder) => {
    await draw(folder, ...one, '--output_root', 'p', '--limit', '1');
    const args = ['generate-coco', ...one, '--output_root', 'p'];
    // 8 blocks of 512 bytes.
    const { status, stderr } = await new Cli(args, folder, 'ulimit -f 8').ended;
    assert.equal(status, 8, stderr);
    const [error, ...others] = stderr.trimEnd().split('\n').reverse();
    assert.match(error ?? '', /^distri: .*\/p\/0001\.png: EFBIG/);
    assert.ok(!others.some((line) => line.startsWith('image 2')), stderr);
    assert.deepEqual([...(await pictures(join(folder, 'p'))).keys()], names(0, 1));
  }));

test('a data set that is malformed is refused in one line before anything is loaded', () =>
  inNewFolder(async (folder) => {
    await writeFile(join(folder, 'captions_val2014.json'), '{"images": [');
    const { status, stderr } = await generate(folder, ...one, '--dataset', '.');
    assert.equal(status, 10);
    assert.match(stderr, /^distri: \S+captions_val2014\.json: not JSON, or cut short: [^\n]+\n$/);
    const nothing = await generate(folder, ...one, '--dataset', 'nowhere/at/all');
    assert.equal(nothing.status, 2);
    assert.match(nothing.stderr, /^distri: Expected [^\n]+ for --dataset but received "nowhere\/at\/all"\n$/);
    assert.deepEqual(await readdir(folder), ['captions_val2014.json']);
  }));
