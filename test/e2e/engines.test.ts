import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readImage } from '../../src/images/pixels.js';
import { readPngTexts } from '../../src/images/png-text.js';
import { psnr } from '../../src/metrics/psnr.js';
import { tinySd15 } from '../support/golden.js';
import { tinyPixArt } from '../support/golden-dit.js';
import { Cli, inNewFolder } from './cli.js';

/** The path of a picture that one rank draws. */
async function draw(folder: string, name: string, ...args: string[]): Promise<string> {
  const path = join(folder, `${name}.png`);
  const given = args[0]?.startsWith('run-') ? args : ['run-sdxl', ...args];
  const { status, stderr } = await new Cli([...given, '--output_path', path], folder).ended;
  assert.equal(status, 0, stderr);
  return path;
}

async function likeness(a: string, b: string): Promise<number> {
  return psnr((await readImage(a)).pixels, (await readImage(b)).pixels);
}

const few = ['-n', '1', '--threads', '1', '--num_inference_steps', '10'];

for (const [name, command] of Object.entries({
  'the embedded model': ['run-sdxl', ...few],
  'Stable Diffusion 1.5': ['run-sd', '--model', tinySd15, '--image_size', '128', ...few],
  'PixArt-alpha': [
    'run-pixart',
    '--model',
    tinyPixArt,
    '--image_size',
    '128',
    '--no_resolution_binning',
    ...few,
  ],
})) {
  test(`the lowered engine draws the pictures of the reference: ${name}`, () =>
    inNewFolder(async (folder) => {
      const reference = await draw(folder, 'reference', ...command);
      const exact = await draw(folder, 'fp32', ...command, '--engine', 'lowered');
      const short = await draw(folder, 'bf16', ...command, '--dtype', 'bf16');
      assert.ok((await likeness(exact, reference)) > 70, `fp32: ${await likeness(exact, reference)} dB`);
      assert.ok((await likeness(short, reference)) > 35, `bf16: ${await likeness(short, reference)} dB`);
      const texts = await readPngTexts(short);
      assert.equal(texts?.get('dtype'), 'bf16');
      assert.equal(texts?.get('engine'), 'lowered');
    }));
}

test('only its own engine needs ONNX Runtime', () =>
  inNewFolder(async (folder) => {
    const nowhere = 'export DISTRI_ORT_LIBRARY=/nowhere/libonnxruntime.so';
    const run = (...args: string[]) => new Cli(['run-sdxl', ...few, ...args], folder, nowhere).ended;
    const { status, stderr } = await run('--engine', 'lowered', '--output_path', 'x.png', '--json', 'x.json');
    assert.equal(status, 0, stderr);
    const { versions } = JSON.parse(await readFile(join(folder, 'x.json'), 'utf8'));
    assert.ok(!('onnxRuntime' in versions), 'the version of what was not loaded');
    const refused = await run('--engine', 'onnxruntime');
    assert.equal(refused.status, 5);
    assert.match(refused.stderr, /Reason: .*nowhere/);
  }));

test('the bytes of a picture are the same for any number of threads, and from run to run', () =>
  inNewFolder(async (folder) => {
    for (const dtype of ['fp32', 'bf16']) {
      const pixels = await Promise.all(
        ['1', '2', '3', '3'].map(async (threads, index) => {
          const args = ['-n', '1', '--threads', threads, '--num_inference_steps', '3'];
          const path = await draw(
            folder,
            `${dtype}-${index}`,
            ...args,
            '--engine',
            'lowered',
            '--dtype',
            dtype,
          );
          return (await readImage(path)).pixels;
        }),
      );
      for (const other of pixels) assert.deepEqual(other, pixels[0], dtype);
    }
  }));

test('pictures are drawn side by side by ranks of their own', () =>
  inNewFolder(async (folder) => {
    const args = [
      '--num_inference_steps',
      '2',
      '--threads',
      '1',
      '--dtype',
      'bf16',
      '--prompt',
      'a red heart',
    ];
    const alone = await draw(folder, 'alone', '-n', '1', ...args);
    const { status, stdout, stderr } = await new Cli(
      [
        'run-sdxl',
        '-n',
        '2',
        '--data_parallel',
        '2',
        ...args,
        '--prompt',
        'a ring',
        '--output_path',
        'pictures',
      ],
      folder,
    ).ended;
    assert.equal(status, 0, stderr);
    const [first] = stdout.split('\n') as [string];
    const pixels = async (path: string) => (await readImage(path)).pixels;
    assert.deepEqual(await pixels(first), await pixels(alone));
    assert.ok((await readFile(first)).length > 0);
  }));

for (const [args, message] of [
  [
    ['--dtype', 'bf16', '--engine', 'onnxruntime'],
    /^distri: --engine onnxruntime has no bf16; --engine lowered has/,
  ],
  [['--dtype', 'fp16'], /^distri: Expected one of auto, fp32, bf16 for --dtype but received "fp16"/],
] as const) {
  test(`${args.join(' ')} is refused in one line`, () =>
    inNewFolder(async (folder) => {
      const { status, stderr } = await new Cli(['run-sdxl', ...args], folder).ended;
      assert.notEqual(status, 0);
      assert.match(stderr, message);
    }));
}
