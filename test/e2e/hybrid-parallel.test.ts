import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { assertClose, difference } from '../support/golden.js';
import { tinyPixArt } from '../support/golden-dit.js';
import { Cli, inNewFolder } from './cli.js';

const prompts = ['an oil painting of a mountain lake', 'a small cactus', 'a lighthouse at dusk'];
/** 12 rows of 20 patches. */
const picture = ['--image_size', '192', '320', '--no_resolution_binning', '--seed', '3', '--threads', '1'];
const run = ['run-pixart', '--model', tinyPixArt, ...picture, '--num_inference_steps', '4'];
/** Patches of four rows, which two ranks of a stage can halve. */
const pipefusion = ['--parallelism', 'pipefusion', '--num_pipeline_patch', '3'];

/** The latents of every prompt. */
async function draw(folder: string, name: string, args: readonly string[]): Promise<Tensor[]> {
  const output = ['--prompts', 'prompts.txt', '--output_type', 'latent', '--output_path', name];
  const { status, stderr } = await new Cli([...run, ...args, ...output], folder).ended;
  assert.equal(status, 0, stderr);
  const groups = args.includes('--data_parallel') ? /^2 groups, each of \d ranks/m : /./;
  assert.match(stderr, groups);
  const paths = prompts.map((_, index) => join(folder, name, `000${index}.safetensors`));
  return Promise.all(paths.map(async (path) => (await SafetensorsFile.open(path)).read('latents')));
}

/**
 * Ranks are groups x halves of the guidance, where the batch is split, x stages or x ulysses x ring; see the
 * option's name.
 */
const hybrids: readonly (readonly [alone: readonly string[], args: readonly string[]])[] = [
  [[], ['-n', '4', '--no_split_batch', '--parallelism', 'sequence', '--ring_degree', '2']],
  [[], ['-n', '4', '--no_split_batch', '--parallelism', 'sequence', '--ulysses_degree', '2']],
  [[], ['-n', '8', '--parallelism', 'sequence', '--ring_degree', '2']],
  [[], ['-n', '8', '--no_split_batch', '--parallelism', 'sequence', '--ulysses_degree', '2']],
  [pipefusion, ['-n', '4', '--no_split_batch', ...pipefusion]],
  [pipefusion, ['-n', '8', ...pipefusion]],
  [pipefusion, ['-n', '8', '--no_split_batch', ...pipefusion, '--sequence_degree', '2']],
];

test('two groups that each share pictures draw those of one rank', () =>
  inNewFolder(async (folder) => {
    await writeFile(join(folder, 'prompts.txt'), prompts.join('\n'));
    const alone = new Map<readonly string[], Tensor[]>();
    for (const options of [[], pipefusion]) {
      alone.set(options, await draw(folder, `alone${alone.size}`, ['-n', '1', ...options]));
    }
    const [exact, stale] = [...alone.values()] as [Tensor[], Tensor[]];
    const { worst, magnitude } = difference(stale[0] as Tensor, exact[0] as Tensor);
    assert.ok(worst > 1e-4 * magnitude, 'patches of a pipeline see nothing stale');
    for (const [index, [like, args]] of hybrids.entries()) {
      const wanted = [...alone].find(([options]) => options.join() === like.join())?.[1];
      const latents = await draw(folder, `hybrid${index}`, ['--data_parallel', '2', ...args]);
      for (const [picture, own] of latents.entries()) {
        const what = `${prompts[picture]}, ${args.join(' ')}`;
        assertClose(own, wanted?.[picture] as Tensor, { relative: 1e-5 }, what);
      }
    }
  }));
