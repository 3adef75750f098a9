import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { Cli, inNewFolder } from './cli.js';

/** Mean colour of the 9 x 9 pixels around a place given in shares of width and height. */
async function colorAt(
  path: string,
  x: number,
  y: number,
): Promise<[red: number, green: number, blue: number]> {
  const { width = 0, height = 0 } = await sharp(path).metadata();
  const area = { left: Math.round(x * width) - 4, top: Math.round(y * height) - 4, width: 9, height: 9 };
  const { channels } = await sharp(await sharp(path).extract(area).toBuffer()).stats();
  const [red, green, blue] = channels.map(({ mean }) => mean);
  return [red ?? 0, green ?? 0, blue ?? 0];
}

test('without options a yellow star on a night sky is drawn by the default model', () =>
  inNewFolder(async (folder) => {
    const { status, stdout, stderr } = await new Cli(['run-sdxl'], folder).ended;
    assert.equal(status, 0, stderr);
    const path = stdout.trimEnd();
    assert.match(path, /results\/\d{8}-\d{6}-\d{3}-a-yellow-star-on-a-night-sky\.png$/);
    const table = stderr.trimEnd().split('\n').slice(-5);
    assert.deepEqual(
      table.map((line) => line.split(' ')[0]),
      ['load', 'text', 'denoise', 'decode', 'total'],
    );
    assert.match(stderr, /^tiny-shapes: 256x256, 50 ddim steps, guidance 5, seed 1234$/m);
    assert.match(stderr, /^denoising 50\/50 steps, [\d.]+ m?s\/step$/m);
    const { format, width, height, comments } = await sharp(path).metadata();
    assert.deepEqual([format, width, height], ['png', 256, 256]);
    assert.equal(comments?.find(({ keyword }) => keyword === 'prompt')?.text, 'a yellow star on a night sky');
    const [red, green, blue] = await colorAt(path, 0.5, 0.5);
    assert.ok(red > 200 && green > 150 && blue < 100, `the middle is ${red}, ${green}, ${blue}`);
    const sky = await colorAt(path, 0.05, 0.05);
    assert.ok(sky[0] < 60 && sky[1] < 60, `the corner is ${sky.join(', ')}`);
    assert.deepEqual(await readdir(folder), ['results']);
    assert.equal((await readdir(join(folder, 'results'))).length, 1);
  }));

test('--quiet prints the paths alone, several pictures are numbered', () =>
  inNewFolder(async (folder) => {
    const prompts = ['--prompt', 'a red circle', '--prompt', 'a blue ring'];
    const options = [
      '--num-images-per-prompt',
      '2',
      '--num-inference-steps',
      '2',
      '--output-path',
      'a/b.png',
    ];
    const { status, stdout, stderr } = await new Cli(['run_sdxl', '--quiet', ...prompts, ...options], folder)
      .ended;
    assert.equal(stderr, '');
    assert.equal(status, 0);
    const names = ['b-0.png', 'b-1.png', 'b-2.png', 'b-3.png'];
    assert.deepEqual(stdout, names.map((name) => `${join(folder, 'a', name)}\n`).join(''));
    assert.deepEqual((await readdir(join(folder, 'a'))).sort(), names);
    const { comments } = await sharp(join(folder, 'a', 'b-2.png')).metadata();
    assert.equal(comments?.find(({ keyword }) => keyword === 'prompt')?.text, 'a blue ring');
  }));

test('three ranks write latents and a trace of every step', () =>
  inNewFolder(async (folder) => {
    const size = ['--image_size', '128', '192', '--num_inference_steps', '3'];
    const output = [
      '--output_type',
      'latent',
      '--output_path',
      'x.safetensors',
      '--trace',
      'trace.safetensors',
    ];
    const { status, stderr } = await new Cli(['run-sdxl', '-n', '3', ...size, ...output], folder).ended;
    assert.equal(status, 0, stderr);
    assert.match(stderr, /rank 2: whole batch, latent rows 1\d to 16 of 16/);
    const latents = await SafetensorsFile.open(join(folder, 'x.safetensors'));
    assert.deepEqual(latents.entry('latents').shape, [1, 4, 16, 24]);
    const trace = await SafetensorsFile.open(join(folder, 'trace.safetensors'));
    for (const name of ['init_noise', 'noise_pred_002', 'latents_002', 'final_latents', 'prompt_embeds']) {
      assert.ok(trace.tensors.has(name), name);
    }
    assert.deepEqual((await trace.read('final_latents')).data, (await latents.read('latents')).data);
    assert.deepEqual((await readdir(folder)).sort(), ['trace.safetensors', 'x.safetensors']);
  }));
