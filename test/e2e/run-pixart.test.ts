import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { assertClose, tinySdxl } from '../support/golden.js';
import { openDit, tinyPixArt } from '../support/golden-dit.js';
import { Cli, inNewFolder } from './cli.js';

const model = ['--model', tinyPixArt];

test('run-pixart draws what diffusers draws, on one rank and on several', () =>
  inNewFolder(async (folder) => {
    const negative = ['--negative_prompt', 'low quality, blurry, watermark', '--seed', '1'];
    const common = ['--num_inference_steps', '6', '--no_resolution_binning', '--output_type', 'latent'];
    const picture = [
      '--prompt',
      'an oil painting of a mountain lake in the snow',
      '--image_size',
      '192',
      '320',
    ];
    const wanted = await (await openDit('pixart_dpm_192x320_negative')).read('final_latents');
    for (const [index, ranks] of [
      ['-n', '1'],
      ['-n', '2'],
      ['-n', '3', '--parallelism', 'tensor'],
      ['-n', '4', '--parallelism', 'tensor'],
      // More than there are heads.
      ['-n', '7', '--parallelism', 'tensor'],
    ].entries()) {
      const path = join(folder, `${index}.safetensors`);
      const args = [
        'run-pixart',
        ...model,
        ...picture,
        ...negative,
        ...common,
        ...ranks,
        '--output_path',
        path,
      ];
      const { status, stderr } = await new Cli(args, folder).ended;
      assert.equal(status, 0, stderr);
      const latents = await (await SafetensorsFile.open(path)).read('latents');
      assertClose(latents, wanted, { relative: 1e-5 }, ranks.join(' '));
    }
  }));

test('run-pixart resizes what it draws at a bin to the size asked for', () =>
  inNewFolder(async (folder) => {
    const args = [
      'run-pixart',
      ...model,
      '-n',
      '1',
      '--image_size',
      '90',
      '350',
      '--num_inference_steps',
      '2',
    ];
    const { status, stderr } = await new Cli([...args, '--output_path', 'picture.png'], folder).ended;
    assert.equal(status, 0, stderr);
    const { width, height } = await sharp(join(folder, 'picture.png')).metadata();
    assert.deepEqual([width, height], [350, 90]);
  }));

test('run-pixart refuses what it cannot do before it starts ranks', () =>
  inNewFolder(async (folder) => {
    for (const [args, status, message] of [
      [[], 2, /Expected a folder or hub id of PixArt-alpha \(PixArtAlphaPipeline\) for --model/],
      [[...model, '--image_size', '200', '--no_resolution_binning'], 2, /multiples of 16/],
      [
        [...model, '-n', '4', '--parallelism', 'sequence', '--ring_degree', '3'],
        2,
        /a product of 2, the ranks of an image/,
      ],
      [[...model, '-n', '4', '--ulysses_degree', '2'], 2, /--ulysses_degree needs --parallelism sequence/],
      [[...model, '-n', '3', '--use_cfg_parallel'], 2, /an even number of ranks/],
      [
        ['--model', tinySdxl],
        3,
        /expected a checkpoint of PixArt-alpha \(PixArtAlphaPipeline\) but found one of SDXL; distri run-sdxl draws with it/,
      ],
    ] as const) {
      const ended = await new Cli(['run-pixart', ...args], folder).ended;
      assert.equal(ended.status, status, ended.stderr);
      assert.match(ended.stderr, message);
    }
  }));

/** The options that the way stands for that `--parallelism auto` says it took. */
function optionsOf(stderr: string): string[] {
  const [, name = 'patch', details = '', batch] =
    /--parallelism auto: 2 ranks(?:, (\w+)(.*))?, (split|whole) batch: predicted/.exec(stderr) ?? [];
  const [, ulysses, ring] = /ulysses (\d+) x ring (\d+)/.exec(details) ?? [];
  const [, stages, , lanes = '1', patches] =
    /(\d+) stages?( x (\d+) ranks)?, (\d+) patch/.exec(details) ?? [];
  return [
    ...['--parallelism', name],
    ...(batch === 'whole' ? ['--no_split_batch'] : []),
    ...(ulysses && ring ? ['--ulysses_degree', ulysses, '--ring_degree', ring] : []),
    ...(stages && patches ? ['--sequence_degree', lanes, '--num_pipeline_patch', patches] : []),
  ];
}

test('run-pixart --parallelism auto says which way it takes, and draws as that does', () =>
  inNewFolder(async (folder) => {
    const common = ['--num_inference_steps', '4', '--output_type', 'latent', '-n', '2'];
    const draw = async (name: string, args: readonly string[]) => {
      const path = join(folder, name);
      const size = ['--image_size', '256', '--no_resolution_binning'];
      const all = [
        'run-pixart',
        ...model,
        ...size,
        ...common,
        '--prompt',
        'x',
        '--output_path',
        path,
        ...args,
      ];
      const { status, stderr } = await new Cli(all, folder, `export DISTRI_CACHE=${folder}`).ended;
      assert.equal(status, 0, stderr);
      return { stderr, latents: await (await SafetensorsFile.open(path)).read('latents') };
    };
    const auto = await draw('auto.safetensors', ['--parallelism', 'auto']);
    const named = await draw('named.safetensors', optionsOf(auto.stderr));
    assert.deepEqual(auto.latents, named.latents);
    const split = await draw('split.safetensors', ['--parallelism', 'auto', '--use_cfg_parallel']);
    assert.match(split.stderr, /--parallelism auto: 2 ranks,.* split batch/);
  }));

test('run-pixart --parallelism auto refuses what sets one strategy up', () =>
  inNewFolder(async (folder) => {
    const refused = ['--parallelism', 'auto', '--ring_degree', '2', '--prompt', 'x'];
    const { status, stderr } = await new Cli(['run-pixart', ...model, '-n', '2', ...refused], folder).ended;
    assert.equal(status, 2);
    assert.match(stderr, /^distri: --ring_degree needs --parallelism sequence, not auto$/m);
  }));
