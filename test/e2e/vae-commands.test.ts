import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { SafetensorsFile, writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { TorchGenerator } from '../../src/tensor/random-torch.js';
import { Cli, inNewFolder } from './cli.js';

async function distri(folder: string, ...argv: string[]): Promise<{ stdout: string; stderr: string }> {
  const { status, stdout, stderr } = await new Cli(argv, folder).ended;
  assert.equal(status, 0, stderr);
  return { stdout, stderr };
}

/** A picture of few and smooth colours, which the embedded VAE knows. */
async function writePhoto(path: string, width: number, height: number): Promise<void> {
  const circle = `<svg width="${width}" height="${height}"><rect width="100%" height="100%" fill="#1a1a4a"/><circle cx="50%" cy="40%" r="20%" fill="#dc3"/></svg>`;
  await sharp(Buffer.from(circle)).removeAlpha().png().toFile(path);
}

async function meanDifference(a: string, b: string): Promise<number> {
  const [first, second] = await Promise.all([a, b].map((path) => sharp(path).removeAlpha().raw().toBuffer()));
  assert.equal(first?.length, second?.length);
  let sum = 0;
  for (const [index, value] of (first ?? Buffer.alloc(0)).entries()) {
    sum += Math.abs(value - (second?.[index] as number));
  }
  return sum / (first?.length as number);
}

test('a picture that is encoded and decoded again looks the same, on any number of ranks', () =>
  inNewFolder(async (folder) => {
    await writePhoto(join(folder, 'photo.png'), 128, 192);
    await distri(folder, 'encode', 'photo.png', '-n', '2', '--output', 'latents.safetensors');
    const file = await SafetensorsFile.open(join(folder, 'latents.safetensors'));
    assert.deepEqual(file.entry('latents').shape, [1, 4, 24, 16]);
    await distri(folder, 'decode', 'latents.safetensors', '-n', '3', '--output', 'copy.png');
    const difference = await meanDifference(join(folder, 'photo.png'), join(folder, 'copy.png'));
    assert.ok(difference < 10, `differs by ${difference} levels`);
    assert.deepEqual((await readdir(folder)).sort(), ['copy.png', 'latents.safetensors', 'photo.png']);
  }));

test('several latents become numbered pictures, or one tensor', () =>
  inNewFolder(async (folder) => {
    const latents = new TorchGenerator(1n).randn([2, 4, 6, 8]);
    await writeSafetensors(join(folder, 'two.safetensors'), { z: latents });
    const options = ['--tensor', 'z', '-n', '1'];
    const { stdout } = await distri(
      folder,
      'decode',
      'two.safetensors',
      ...options,
      '--quiet',
      '--output',
      'p.png',
    );
    const paths = ['p-0.png', 'p-1.png'].map((name) => join(folder, name));
    assert.deepEqual(stdout.trimEnd().split('\n'), paths);
    const { width, height } = await sharp(paths[1]).metadata();
    assert.deepEqual([width, height], [64, 48]);
    await distri(folder, 'decode', 'two.safetensors', ...options, '--output', 'd.safetensors');
    const decoded = (await SafetensorsFile.open(join(folder, 'd.safetensors'))).entry('decoded');
    assert.deepEqual([decoded.dtype, ...decoded.shape], ['F32', 2, 3, 48, 64]);
  }));

test('sides that are no multiple of 8 are scaled down, samples depend on the seed', () =>
  inNewFolder(async (folder) => {
    await writePhoto(join(folder, 'photo.png'), 70, 67);
    const outputs: Float32Array[] = [];
    for (const [name, ...options] of [
      ['a'],
      ['b', '--sample'],
      ['c', '--sample', '--seed', '2'],
      ['d', '--sample'],
    ]) {
      await distri(folder, 'encode', 'photo.png', '-n', '1', ...options, '--output', `${name}.safetensors`);
      const file = await SafetensorsFile.open(join(folder, `${name}.safetensors`));
      assert.deepEqual(file.entry('latents').shape, [1, 4, 8, 8]);
      outputs.push((await file.read('latents')).data as Float32Array);
    }
    const [mean, sample, other, again] = outputs;
    assert.notDeepEqual(sample, mean);
    assert.notDeepEqual(other, sample);
    assert.deepEqual(again, sample);
  }));

const refused: readonly [argv: readonly string[], message: RegExp][] = [
  [['decode', 'nothing.safetensors'], /nothing\.safetensors: no such file/],
  [['decode', 'z.safetensors'], /has no tensor "latents"; --tensor may be wrong$/m],
  [['decode', 'z.safetensors', '--tensor', 'wrong'], /floats \[images, 4, rows, columns\] .*\[1, 3, 8, 8\]/],
  [['decode', 'z.safetensors', '--tensor', 'wrong', '--output', 'x.jpg'], /Expected .* for/],
  [['decode', 'z.safetensors', '--vae', 'fast'], /one of auto, parallel, rank0, tiled for --vae/],
  [['decode', 'z.safetensors', '--tile_size', '40'], /a multiple of 32 for --tile_size/],
  [
    ['decode', 'z.safetensors', '--vae', 'rank0', '--tile_size', '64'],
    /--tile_size needs --vae tiled or auto/,
  ],
  [['encode', 'z.safetensors'], /z\.safetensors: not an image that can be read/],
  [['encode', 'z.safetensors', '--seed', '1'], /--seed needs --sample/],
];

test('what can not be done is refused in one line', () =>
  inNewFolder(async (folder) => {
    const wrong = new TorchGenerator(1n).randn([1, 3, 8, 8]);
    await writeSafetensors(join(folder, 'z.safetensors'), { wrong });
    for (const [argv, message] of refused) {
      const { status, stderr } = await new Cli(argv, folder).ended;
      assert.match(stderr, message, argv.join(' '));
      assert.notEqual(status, 0);
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    }
    assert.deepEqual(await readdir(folder), ['z.safetensors']);
  }));

test('run-sdxl draws the same picture whoever runs the VAE', () =>
  inNewFolder(async (folder) => {
    const options = ['-n', '2', '--num_inference_steps', '3'];
    for (const vae of ['parallel', 'rank0', 'tiled']) {
      await distri(folder, 'run-sdxl', ...options, '--vae', vae, '--output_path', `${vae}.png`);
    }
    const path = (name: string) => join(folder, `${name}.png`);
    assert.ok((await meanDifference(path('parallel'), path('rank0'))) < 0.01);
    // The embedded model draws 256 px, which is one tile.
    assert.ok((await meanDifference(path('tiled'), path('rank0'))) < 0.01);
  }));
