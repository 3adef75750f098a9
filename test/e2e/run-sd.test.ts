import assert from 'node:assert/strict';
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { SafetensorsFile, writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import {
  assertClose,
  type DiffusersCase,
  diffusersCases,
  openDiffusers,
  tinySd15,
  tinySdxl,
  withSchedulerConfig,
} from '../support/golden.js';
import { Cli, inNewFolder } from './cli.js';

test('run-sd draws what diffusers draws, on one rank and on several', () =>
  inNewFolder(async (folder) => {
    const prompt = 'Astronaut in a jungle, cold color palette, muted colors, detailed, 8k';
    const wanted = await (await openDiffusers('sd15_pndm')).read('final_latents');
    for (const [index, ranks] of [
      ['-n', '1'],
      ['-n', '2'],
      ['-n', '4', '--sync_mode', 'full_sync'],
      ['-n', '3', '--parallelism', 'tensor'],
    ].entries()) {
      const path = join(folder, `${index}.safetensors`);
      const common = ['--model', tinySd15, '--prompt', prompt, '--seed', '102', '--num_inference_steps', '8'];
      const output = ['--output_type', 'latent', '--output_path', path];
      const { status, stderr } = await new Cli(['run-sd', ...common, ...ranks, ...output], folder).ended;
      assert.equal(status, 0, stderr);
      assert.match(stderr, /8 pndm steps, guidance 7.5/);
      const latents = await (await SafetensorsFile.open(path)).read('latents');
      assertClose(latents, wanted, { relative: 1e-5 }, ranks.join(' '));
    }
  }));

test('run-sd begins with a picture as diffusers does, on one rank and on several', () =>
  inNewFolder(async (folder) => {
    const golden = (await diffusersCases()).find(({ name }) => name === 'sd15_img2img_ddim') as DiffusersCase;
    const checkpoint = await withSchedulerConfig(tinySd15, golden.scheduler_config);
    const file = await openDiffusers(golden.name);
    const { data } = await file.read('init_image_uint8');
    const picture = sharp(data as Uint8Array, { raw: { width: 256, height: 256, channels: 3 } });
    await picture.png().toFile(join(folder, 'first.png'));
    try {
      for (const ranks of [
        ['-n', '1'],
        ['-n', '2'],
        ['-n', '4', '--sync_mode', 'full_sync'],
      ]) {
        const path = join(folder, `${ranks[1]}.safetensors`);
        const start = [
          '--init_image',
          'first.png',
          '--strength',
          '0.6',
          '--seed',
          '120',
          '--scheduler',
          'ddim',
        ];
        const drawn = [
          '--prompt',
          golden.prompt as string,
          '--num_inference_steps',
          '10',
          '--model',
          checkpoint.directory,
        ];
        const output = ['--output_type', 'latent', '--output_path', path];
        const { status, stderr } = await new Cli(['run-sd', ...drawn, ...start, ...ranks, ...output], folder)
          .ended;
        assert.equal(status, 0, stderr);
        const latents = await (await SafetensorsFile.open(path)).read('latents');
        assertClose(latents, await file.read('final_latents'), { relative: 1e-5 }, ranks.join(' '));
      }
    } finally {
      await checkpoint.remove();
    }
  }));

test('a picture to begin with that does not exist, is none, or is hardly changed is refused', () =>
  inNewFolder(async (folder) => {
    await writeFile(join(folder, 'text.png'), 'no picture');
    await sharp({ create: { width: 64, height: 64, channels: 4, background: '#00ff0080' } })
      .png()
      .toFile(join(folder, 'half.png'));
    const few = ['--num_inference_steps', '5'];
    for (const [args, message] of [
      [['--init_image', 'missing.png'], /missing\.png: no such file or folder/],
      [['--init_image', 'text.png'], /text\.png: not an image that can be read/],
      [['--init_image', 'half.png', '--strength', '1.5'], /--strength/],
      [['--init_image', 'half.png', '--strength', '0.1', ...few], /at least 0\.2 with 5 steps/],
      [['--strength', '0.5'], /--strength needs --init_image/],
    ] as const) {
      const ended = await new Cli(['run-sd', '--model', tinySd15, ...args], folder).ended;
      assert.equal(ended.status, 2, ended.stderr);
      assert.match(ended.stderr, message);
    }
  }));

test('numbers that are none end a run with their step and rank, and no picture', () =>
  inNewFolder(async (folder) => {
    const model = join(folder, 'model');
    await cp(tinySd15, model, { recursive: true });
    const path = join(model, 'unet', 'diffusion_pytorch_model.safetensors');
    const file = await SafetensorsFile.open(path);
    const tensors: Record<string, Tensor> = {};
    for (const name of file.tensors.keys()) tensors[name] = await file.read(name);
    (tensors['conv_out.bias'] as Tensor<'float32'>).data[1] = Number.NaN;
    await writeSafetensors(path, tensors, { format: 'pt' });
    const args = ['run-sd', '--model', model, '-n', '2', '--num_inference_steps', '3'];
    const { status, stderr } = await new Cli([...args, '--output_path', 'out/x.png'], folder).ended;
    assert.match(
      stderr,
      /^distri: the latents are not finite after step 1 of 4 on rank 0, because weights of the unet are not: "conv_out\.bias"; /m,
    );
    assert.equal(status, 3);
    assert.deepEqual(await readdir(folder), ['model']);
  }));

test('run-sd says that it does not run a safety checker', () =>
  inNewFolder(async (folder) => {
    const model = join(folder, 'model');
    await cp(tinySd15, model, { recursive: true });
    const path = join(model, 'model_index.json');
    const index = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    index.safety_checker = ['stable_diffusion', 'StableDiffusionSafetyChecker'];
    await writeFile(path, JSON.stringify(index));
    const args = ['run-sd', '--model', model, '-n', '1', '--num_inference_steps', '1'];
    const { status, stderr } = await new Cli([...args, '--output_path', 'picture.png'], folder).ended;
    assert.equal(status, 0, stderr);
    assert.match(stderr, /safety_checker is not run/);
  }));

test('run-sd refuses what it cannot do before it starts ranks', () =>
  inNewFolder(async (folder) => {
    for (const [args, status, message] of [
      [
        [],
        2,
        /Expected a folder or hub id of Stable Diffusion 1\.x and 2\.x \(StableDiffusionPipeline\) for --model/,
      ],
      [
        ['--model', tinySdxl],
        3,
        /expected a checkpoint of Stable Diffusion 1\.x and 2\.x .* but found one of SDXL; distri run-sdxl draws with it/,
      ],
      [['--model', tinySd15, '--num_inference_steps', '1001'], 2, /num_inference_steps/],
    ] as const) {
      const ended = await new Cli(['run-sd', ...args], folder).ended;
      assert.equal(ended.status, status, ended.stderr);
      assert.match(ended.stderr, message);
    }
  }));
