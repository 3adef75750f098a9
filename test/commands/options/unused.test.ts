import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { openModel } from '../../../src/app/model.js';
import { silent } from '../../../src/app/observer.js';
import { planDrawing } from '../../../src/app/plan-drawing.js';
import { embeddedModel } from '../../../src/base/package.js';
import { addRunOptions, callOf, type RunOptions, setupOf } from '../../../src/commands/options/run.js';
import { unusedOptions } from '../../../src/commands/options/unused.js';
import { stableDiffusionXL } from '../../../src/families/stable-diffusion-xl.js';

/** What is said of a command line. */
async function said(...argv: readonly string[]): Promise<readonly string[]> {
  const command = addRunOptions(new Command(), stableDiffusionXL);
  command.parse(['-n', '2', '--prompt', 'x', ...argv], { from: 'user' });
  const options = command.opts<RunOptions>();
  const model = await openModel(embeddedModel, {}, silent);
  const context = { observer: silent, signal: new AbortController().signal, simdLevel: 'v4' } as const;
  const plan = await planDrawing(model, setupOf(options), callOf(options, stableDiffusionXL), context);
  return unusedOptions(command, options, plan);
}

test('what has its effect is not told', async () => {
  assert.deepEqual(await said(), []);
  assert.deepEqual(await said('--sync_mode', 'no_sync', '--warmup_steps', '1', '--eta', '0.5'), []);
  assert.deepEqual(await said('--mode', 'benchmark', '--test_times', '3'), []);
});

test('options of the public scripts that change nothing are told, with where they would', async () => {
  assert.deepEqual(await said('--parallelism', 'tensor', '--sync_mode', 'no_sync'), [
    '--sync_mode has no effect with --parallelism tensor, only with patch',
  ]);
  assert.deepEqual(await said('--split_scheme', 'row'), [
    '--split_scheme has no effect with --parallelism patch, only with naive_patch',
  ]);
  assert.deepEqual(await said('--scheduler', 'euler', '--eta', '0.5'), [
    '--eta has no effect with --scheduler euler',
  ]);
  assert.deepEqual(await said('--test_times', '3', '--no_cuda_graph'), [
    '--no_cuda_graph has no effect on a CPU',
    '--test_times has no effect without --mode benchmark',
  ]);
});
