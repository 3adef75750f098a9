import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { childrenOf, isAlive } from '../ranks/fixtures/processes.js';
import { tinyPixArt } from '../support/golden-dit.js';
import { Cli, type Ended, inNewFolder } from './cli.js';

const base = [
  ...['run-pixart', '--model', tinyPixArt, '--image_size', '256', '--no_resolution_binning'],
  ...['--parallelism', 'pipefusion', '--no_split_batch', '--prompt', 'a small cactus'],
];

/** The one message that a failed run prints after its progress. */
function message({ stderr }: Ended): string {
  const errors = stderr.split('\n').filter((line) => line.startsWith('distri: '));
  assert.equal(errors.length, 1, stderr);
  return errors[0] as string;
}

interface TraceEvent {
  readonly ph: string;
  readonly name: string;
  readonly pid: number;
  readonly cat?: string;
  readonly ts: number;
  readonly dur: number;
  readonly args: Readonly<Record<string, unknown>>;
}

test('a run has the same latents for each number of stages, and writes who did what when', () =>
  inNewFolder(async (folder) => {
    const latents: Buffer[] = [];
    for (const ranks of [1, 2, 3]) {
      const args = ['-n', String(ranks), '--threads', '1', '--num_pipeline_patch', '4'];
      const files = [
        '--num_inference_steps',
        '5',
        '--output_path',
        `${ranks}.safetensors`,
        '--output_type',
        'latent',
        '--timeline',
        `${ranks}.json`,
      ];
      const ended = await new Cli([...base, ...args, ...files], folder).ended;
      assert.equal(ended.status, 0, ended.stderr);
      if (ranks > 1) {
        assert.match(
          ended.stderr,
          new RegExp(`pipefusion, ${ranks} stages, 4 patches, 1 synchronous step, then stale`),
        );
        assert.match(ended.stderr, /rank 1: whole batch, stage 2 of \d, layers \d to \d of 8/);
      }
      latents.push(await readFile(join(folder, `${ranks}.safetensors`)));
      await checkTimeline(join(folder, `${ranks}.json`), ranks);
    }
    for (const own of latents) assert.deepEqual(own, latents[0]);
  }));

test('a pipeline on two halves of the guidance, two ranks to a stage, draws a picture', () =>
  inNewFolder(async (folder) => {
    const args = base.filter((arg) => arg !== '--no_split_batch');
    const pipeline = ['--verbose', '-n', '8', '--sequence_degree', '2', '--num_pipeline_patch', '4'];
    const files = ['--num_inference_steps', '3', '--output_path', 'x.png', '--timeline', 'x.json'];
    const ended = await new Cli([...args, ...pipeline, ...files], folder).ended;
    assert.equal(ended.status, 0, ended.stderr);
    assert.match(
      ended.stderr,
      /rank 7: conditional half of the batch, stage 2 of 2, .*part 2 of 2 of each patch/,
    );
    assert.ok((await readFile(join(folder, 'x.png'))).length > 1000);
    const { traceEvents } = JSON.parse(await readFile(join(folder, 'x.json'), 'utf8')) as {
      traceEvents: TraceEvent[];
    };
    assert.equal(traceEvents.filter(({ name }) => name === 'compute').length, 8 * (1 + 2 * 4));
  }));

/**
 * One whole picture and then four patches in each of four steps, in the same order on all stages; no patch
 * before it is there.
 */
async function checkTimeline(path: string, ranks: number): Promise<void> {
  const { traceEvents } = JSON.parse(await readFile(path, 'utf8')) as { traceEvents: TraceEvent[] };
  const passes = Array.from({ length: ranks }, (_, rank) =>
    traceEvents.filter(({ ph, pid, name }) => ph === 'X' && pid === rank && name === 'compute'),
  );
  const order = [0, 1, 2, 3, 4].flatMap((step) =>
    (step === 0 ? [0] : [0, 1, 2, 3]).map((patch) => ({ step, patch })),
  );
  for (const [stage, own] of passes.entries()) {
    assert.deepEqual(
      own.map(({ args }) => args),
      order,
    );
    for (const [index, { ts }] of own.entries()) {
      const before = passes[stage - 1]?.[index];
      if (before) assert.ok(ts >= before.ts + before.dur, `stage ${stage} computes pass ${index} too early`);
    }
  }
  const names = traceEvents.filter(({ name }) => name === 'process_name').map(({ args }) => args.name);
  assert.equal(names.length, ranks);
  const phases = traceEvents.filter(({ pid, cat }) => pid === 0 && cat === 'phase').map(({ name }) => name);
  assert.deepEqual(phases, ['load', 'text', 'denoise']);
}

const STEPS = 900;

/**
 * Disturbs a run with three stages in a later step; nothing may be left of it after `within` milliseconds.
 */
async function disturbed(
  args: readonly string[],
  disturb: (ranks: readonly number[]) => void,
  within: number,
): Promise<Ended> {
  return inNewFolder(async (folder) => {
    const long = ['-n', '3', '--num_pipeline_patch', '4', '--num_inference_steps', String(STEPS)];
    const cli = new Cli([...base, ...long, '--output_path', 'out/x.png', ...args], folder);
    await cli.said(new RegExp(`denoising ${STEPS / 10}/${STEPS}`));
    const ranks = childrenOf(cli.pid);
    assert.equal(ranks.length, 3);
    const disturbedAt = performance.now();
    disturb(ranks);
    const ended = await cli.ended;
    const took = performance.now() - disturbedAt;
    assert.ok(took < within, `took ${took.toFixed(0)} ms`);
    assert.deepEqual(ranks.filter(isAlive), []);
    assert.deepEqual(await readdir(folder), []);
    return ended;
  });
}

for (const rank of [0, 1, 2]) {
  test(`when stage ${rank + 1} is killed, everything ends and names step, patch and stage`, async () => {
    const ended = await disturbed([], (ranks) => process.kill(ranks[rank] as number, 'SIGKILL'), 2000);
    assert.match(
      message(ended),
      new RegExp(
        `^distri: Rank ${rank} \\(process \\d+\\) was killed by SIGKILL in step \\d+ of ${STEPS}, patch [1-4] of 4, stage ${rank + 1} of 3`,
      ),
    );
    assert.equal(ended.status, 6);
  });
}

test('when a stage hangs, everything ends after --comm_timeout and names step, patch and stage', async () => {
  const stop = (ranks: readonly number[]) => process.kill(ranks[1] as number, 'SIGSTOP');
  const ended = await disturbed(['--comm_timeout', '3'], stop, 3000 + 2000);
  assert.match(
    message(ended),
    /^distri: Rank 1 \(process \d+\) gave no sign of life for [\d.]+ s in step \d+ of 900, patch [1-4] of 4, stage 2 of 3/,
  );
  assert.equal(ended.status, 7);
});

const refused: readonly [args: string[], message: RegExp][] = [
  [['-n', '9'], /^distri: 9 stages are too many for 8 layers; at most 8 would work$/],
  [
    ['-n', '2', '--num_pipeline_patch', '17'],
    /^distri: 17 pipeline patches are too many for 16 rows of patches; at most 16/,
  ],
  [
    ['-n', '2', '--attn_layer_num_for_pp', '3', '4'],
    /^distri: Expected 2 numbers of layers above 0 with the sum 8 for --attn_layer/,
  ],
  [['-n', '3', '--sequence_degree', '2'], /^distri: Expected a divisor of the 3 ranks of a pipeline/],
  [
    ['--parallelism', 'tensor', '--num_pipeline_patch', '2'],
    /^distri: --num_pipeline_patch needs --parallelism pipefusion, not tensor$/,
  ],
  [['--timeline', 'x.txt'], /^distri: Expected a path that ends in \.json for --timeline/],
];

for (const [args, expected] of refused) {
  test(`${args.join(' ')} is refused in one line`, () =>
    inNewFolder(async (folder) => {
      const ended = await new Cli([...base, '--num_inference_steps', '2', ...args], folder).ended;
      assert.match(message(ended), expected);
      assert.notEqual(ended.status, 0);
      assert.deepEqual(await readdir(folder), []);
    }));
}

test('a UNet has no blocks to divide', () =>
  inNewFolder(async (folder) => {
    const ended = await new Cli(['run-sdxl', '-n', '2', '--parallelism', 'pipefusion'], folder).ended;
    assert.match(message(ended), /--parallelism/);
    assert.equal(ended.status, 2);
  }));
