import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { assertClose } from '../support/golden.js';
import { openDit, tinyFlux } from '../support/golden-dit.js';
import { Cli, inNewFolder } from './cli.js';

const model = ['--model', tinyFlux, '--max_sequence_length', '64'];

/** The pictures of the golden cases of these names, as arguments. */
const pictures = {
  flux_192x320: [
    ...['--prompt', 'an oil painting of a mountain lake in the snow', '--seed', '1'],
    ...['--image_size', '192', '320', '--num_inference_steps', '6'],
  ],
  flux_true_cfg: [
    ...['--prompt', 'two people standing next to a train station at night', '--seed', '6'],
    ...['--negative_prompt', 'blurry, low quality', '--true_cfg_scale', '2.5'],
    ...['--image_size', '160', '192', '--num_inference_steps', '4'],
  ],
} as const;

/** Draws a golden picture by these ranks, and compares what diffusers ends with. */
async function compare(folder: string, name: keyof typeof pictures, ranks: readonly string[]): Promise<void> {
  const path = join(folder, 'trace.safetensors');
  const output = ['--output_type', 'latent', '--output_path', join(folder, 'latents.safetensors')];
  const args = ['run-flux', ...model, ...pictures[name], ...ranks, ...output, '--trace', path];
  const { status, stderr } = await new Cli(args, folder).ended;
  assert.equal(status, 0, stderr);
  const latents = await (await SafetensorsFile.open(path)).read('final_latents');
  const wanted = await (await openDit(name)).read('final_latents');
  assertClose(latents, wanted, { relative: 1e-5 }, `${name} ${ranks.join(' ')}`);
}

const sequence = (ulysses: number, ring: number) => [
  ...['-n', String(ulysses * ring), '--parallelism', 'sequence'],
  ...['--ulysses_degree', String(ulysses), '--ring_degree', String(ring)],
];
const fullSync = ['--parallelism', 'patch', '--sync_mode', 'full_sync'];

for (const engine of ['onnxruntime', 'lowered']) {
  test(`run-flux draws what diffusers draws, on several ranks by ${engine}`, () =>
    inNewFolder(async (folder) => {
      for (const ranks of [
        // Neither the 12 rows of tokens nor the 4 heads can be divided evenly by 5.
        sequence(5, 1),
        sequence(1, 3),
        sequence(2, 2),
        ['-n', '3', '--parallelism', 'tensor'],
        // More than there are heads.
        ['-n', '6', '--parallelism', 'tensor'],
        ['-n', '3', ...fullSync],
      ]) {
        await compare(folder, 'flux_192x320', [...ranks, '--engine', engine]);
      }
      for (const ranks of [
        ['-n', '2'],
        ['-n', '4', '--parallelism', 'sequence'],
      ]) {
        await compare(folder, 'flux_true_cfg', [...ranks, '--engine', engine]);
      }
    }));
}

test('stale patches of run-flux come near to one rank, and naive ones less so', () =>
  inNewFolder(async (folder) => {
    const drawn: Float32Array[] = [];
    for (const [index, ranks] of [
      ['-n', '1'],
      ['-n', '2', '--warmup_steps', '1'],
      ['-n', '2', '--parallelism', 'naive_patch', '--split_scheme', 'row'],
    ].entries()) {
      const path = join(folder, `${index}.safetensors`);
      const output = ['--output_type', 'latent', '--output_path', path];
      const args = ['run-flux', ...model, ...pictures.flux_192x320, ...ranks, ...output];
      const { status, stderr } = await new Cli(args, folder).ended;
      assert.equal(status, 0, stderr);
      drawn.push((await (await SafetensorsFile.open(path)).read('latents')).data as Float32Array);
    }
    const [alone, stale, naive] = drawn as [Float32Array, Float32Array, Float32Array];
    const off = (other: Float32Array) =>
      Math.hypot(...other.map((value, index) => value - (alone[index] as number))) / Math.hypot(...alone);
    assert.ok(off(stale) > 1e-4, 'stale patches are stale');
    assert.ok(off(stale) < 0.1, `stale patches are off by ${off(stale)}`);
    assert.ok(off(naive) > off(stale), `naive patches are off by ${off(naive)}, stale ones by ${off(stale)}`);
  }));

test('run-flux draws the multiples of 16 below a size, and says so', () =>
  inNewFolder(async (folder) => {
    const path = join(folder, 'picture.png');
    const size = ['--height', '72', '--width', '85', '--num_inference_steps', '1'];
    const args = ['run-flux', ...model, '-n', '1', ...size, '--output_path', path];
    const { status, stderr } = await new Cli(args, folder).ended;
    assert.equal(status, 0, stderr);
    assert.match(stderr, /FLUX\.1 draws multiples of 16: 80x64 for 85x72/);
    const { width, height } = await sharp(path).metadata();
    assert.deepEqual([width, height], [80, 64]);
  }));

test('a checkpoint whose parts do not fit is refused in one line', () =>
  inNewFolder(async (folder) => {
    const change = async (part: string, file: string, from: RegExp, to: string) => {
      const broken = await mkdtemp(join(folder, 'broken-'));
      await cp(tinyFlux, broken, { recursive: true });
      const path = join(broken, part, file);
      await writeFile(path, (await readFile(path, 'utf8')).replace(from, to));
      return broken;
    };
    const index = 'diffusion_pytorch_model.safetensors.index.json';
    for (const [broken, message] of [
      [
        await change('transformer', 'config.json', /"num_layers": 4/, '"num_layers": 3'),
        /weights of transformer_blocks\.3, but num_layers = 3 in transformer\/config\.json/,
      ],
      [
        await change('transformer', 'config.json', /"num_layers": 4/, '"num_layers": 5'),
        /transformer_blocks\.4/,
      ],
      [await change('transformer', index, /00002-of-00002/g, '00007-of-00002'), /00007-of-00002/],
      [
        await change('transformer', 'config.json', /"joint_attention_dim": 64/, '"joint_attention_dim": 32'),
        /d_model = 64, but the transformer has joint_attention_dim = 32/,
      ],
      [
        await change('vae', 'config.json', /"latent_channels": 16/, '"latent_channels": 4'),
        /latent_channels = 4, but/,
      ],
    ] as const) {
      const args = ['run-flux', '--quiet', '-n', '1', '--image_size', '64', '--num_inference_steps', '1'];
      const { status, stderr } = await new Cli([...args, '--model', broken], folder).ended;
      assert.notEqual(status, 0);
      assert.match(stderr, message);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    }
  }));

test('what run-flux cannot do is refused in one line', () =>
  inNewFolder(async (folder) => {
    for (const [args, message] of [
      [['--max_sequence_length', '513'], /Expected at most 512 for --max_sequence_length but received 513/],
      [['--true_cfg_scale', '2'], /--true_cfg_scale 2 guides away from --negative_prompt; give one/],
      [['--scheduler', 'ddim'], /Expected one of flow_match_euler for --scheduler but received "ddim"/],
      [['--image_size', '8'], /Expected multiples of 16 for the image size but received "8 8"/],
      [['--prompt_2', 'a', '--prompt_2', 'b'], /Expected one, or as many as prompts \(1\), for --prompt_2/],
      [
        ['-n', '2', '--parallelism', 'pipefusion'],
        /pipefusion .*the text of this model goes through its blocks/,
      ],
    ] as const) {
      const { status, stderr } = await new Cli(['run-flux', ...model, ...args], folder).ended;
      assert.notEqual(status, 0);
      assert.match(stderr, message);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    }
  }));
