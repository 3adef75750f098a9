import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { openModel } from '../../../src/app/model.js';
import { silent } from '../../../src/app/observer.js';
import { planDrawing } from '../../../src/app/plan-drawing.js';
import { embeddedModel } from '../../../src/base/package.js';
import {
  addCocoOptions,
  type CocoOptions,
  checkCocoOptions,
  chooseRange,
  defaultOutputRoot,
} from '../../../src/commands/options/coco.js';
import { denoisingOf, setupOf } from '../../../src/commands/options/run.js';

function parse(...argv: readonly string[]): CocoOptions {
  const command = addCocoOptions(new Command())
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  return command.parse(argv, { from: 'user' }).opts<CocoOptions>();
}

test("the folder's name is that of distrifuser's script, or tells the strategy", async () => {
  const model = await openModel(embeddedModel, {}, silent);
  const name = async (...argv: readonly string[]) => {
    const options = parse(...argv);
    const call = { ...denoisingOf(options, model.family), prompt: 'a' };
    const context = { observer: silent, signal: new AbortController().signal, simdLevel: 'v4' } as const;
    return defaultOutputRoot(await planDrawing(model, setupOf(options), call, context));
  };
  assert.equal(await name('-n', '1'), 'results/coco/ddim-50/gpus1-warmup4-corrected_async_gn');
  assert.equal(await name('-n', '2'), 'results/coco/ddim-50/gpus1-warmup4-corrected_async_gn');
  assert.equal(
    await name('-n', '8', '--data_parallel', '2'),
    'results/coco/ddim-50/gpus2-warmup4-corrected_async_gn',
  );
  const euler = ['--scheduler', 'euler', '--num_inference_steps', '20'];
  const modes = ['--warmup_steps', '1', '--sync_mode', 'no_sync'];
  assert.equal(
    await name('-n', '4', '--no_split_batch', ...euler, ...modes),
    'results/coco/euler-20/gpus4-warmup1-no_sync',
  );
  assert.equal(
    await name('-n', '3', '--parallelism', 'naive_patch', '--split_scheme', 'row'),
    'results/coco/ddim-50/gpus3-naive_patch-row',
  );
  assert.equal(await name('-n', '4', '--parallelism', 'tensor'), 'results/coco/ddim-50/gpus2-tensor');
});

test('parts are as large as the script makes them, and the last ones smaller or empty', () => {
  const parts = (count: number, n: number) => Array.from({ length: n }, (_, i) => chooseRange(count, [i, n]));
  assert.deepEqual(chooseRange(5000, undefined), { first: 0, end: 5000 });
  assert.deepEqual(parts(5000, 3), [
    { first: 0, end: 1667 },
    { first: 1667, end: 3334 },
    { first: 3334, end: 5000 },
  ]);
  assert.deepEqual(parts(5, 4), [
    { first: 0, end: 2 },
    { first: 2, end: 4 },
    { first: 4, end: 5 },
    { first: 5, end: 5 },
  ]);
});

test('parts that are none are refused, and several negative prompts', () => {
  for (const split of [['2', '2'], ['1'], ['0', '0'], ['0', '1', '2']]) {
    assert.throws(
      () => checkCocoOptions(parse('-n', '1', '--split', ...split)),
      /Expected i n with 0 <= i < n/,
    );
  }
  checkCocoOptions(parse('-n', '1', '--split', '1', '2'));
  assert.throws(() => parse('--split', '-1', '2'), /split/);
  assert.throws(
    () => checkCocoOptions(parse('-n', '1', '--negative_prompt', 'a', '--negative_prompt', 'b')),
    /Expected one --negative_prompt, which goes for all captions/,
  );
});

test('what the data set decides, and a benchmark, are no options', () => {
  for (const option of [
    '--prompt',
    '--prompts',
    '--seed',
    '--mode',
    '--test_times',
    '--output_path',
    '--trace',
  ]) {
    assert.throws(() => parse(option, '1'), /unknown option/);
  }
});
