import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, cp, mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Staging } from '../../src/base/staging.js';
import { childrenOf, isAlive, waitForEnd } from '../ranks/fixtures/processes.js';
import { Cli, type Ended, inNewFolder, packageRoot } from './cli.js';

const STEPS = 900;
const evenRanks = 'Expected an even number of ranks per image for --use_cfg_parallel but received 3';
/** Long enough to be disturbed. */
const longRun = ['run-sdxl', '-n', '3', '--num_inference_steps', String(STEPS), '--output_path', 'out/x.png'];

/** float32, and what the tool takes by itself: bfloat16 where the CPU multiplies it. */
const dtypes = ['fp32', 'auto'] as const;

const unetFile = join('unet', 'diffusion_pytorch_model.fp16.safetensors');

/** The one message that a failed run prints after its progress. */
function message({ stderr }: Ended): string {
  const errors = stderr.split('\n').filter((line) => line.startsWith('distri: '));
  assert.equal(errors.length, 1, stderr);
  assert.equal(stderr.trimEnd().split('\n').at(-1), errors[0], 'something was printed after the error');
  return errors[0] as string;
}

/**
 * Disturbs a run in a step between the first tenth and the fourth; it must end with nothing left, `within`
 * milliseconds.
 */
async function disturbed(
  args: readonly string[],
  disturb: (cli: Cli, ranks: readonly number[]) => void,
  within: number,
): Promise<Ended> {
  return inNewFolder(async (folder) => {
    const cli = new Cli([...longRun, ...args], folder);
    const tenth = 1 + Math.floor(3 * Math.random());
    await cli.said(new RegExp(`denoising ${(tenth * STEPS) / 10}/${STEPS}`));
    const ranks = childrenOf(cli.pid);
    assert.equal(ranks.length, 3);
    const disturbedAt = performance.now();
    disturb(cli, ranks);
    const ended = await cli.ended;
    const took = performance.now() - disturbedAt;
    assert.ok(took < within, `took ${took.toFixed(0)} ms`);
    assert.deepEqual(ranks.filter(isAlive), []);
    assert.deepEqual(await readdir(folder), []);
    assert.equal(ended.stdout, '');
    return ended;
  });
}

for (const dtype of dtypes) {
  for (const rank of [0, 2]) {
    test(`when rank ${rank} is killed in some step, everything ends and says so, dtype ${dtype}`, async () => {
      const kill = (_: Cli, ranks: readonly number[]) => process.kill(ranks[rank] as number, 'SIGKILL');
      const ended = await disturbed(['--dtype', dtype], kill, 2000);
      assert.match(
        message(ended),
        new RegExp(`^distri: Rank ${rank} \\(process \\d+\\) was killed by SIGKILL in step \\d+ of ${STEPS}`),
      );
      assert.equal(ended.status, 6);
    });
  }

  test(`when a rank is stopped, everything ends after --comm_timeout, dtype ${dtype}`, async () => {
    const stop = (_: Cli, ranks: readonly number[]) => process.kill(ranks[1] as number, 'SIGSTOP');
    const ended = await disturbed(['--dtype', dtype, '--comm_timeout', '3'], stop, 3000 + 2000);
    assert.match(
      message(ended),
      /^distri: Rank 1 \(process \d+\) gave no sign of life for [\d.]+ s in step \d+ of 900/,
    );
    assert.equal(ended.status, 7);
  });

  test(`weights that are cut short are refused with the file and the numbers, dtype ${dtype}`, () =>
    inNewFolder(async (folder) => {
      const model = await copyModel(folder);
      await truncate(join(model, unetFile), 1_000_000);
      const args = ['--dtype', dtype, '--model', model, '--output_path', 'x.png'];
      const ended = await failing(args, folder);
      assert.match(message(ended), /fp16\.safetensors: .*the file is cut short: .*1000000/);
      assert.equal(ended.status, 3);
    }));
}

test('Ctrl-C ends everything', async () => {
  const ended = await disturbed([], (cli) => cli.signalGroup('SIGINT'), 2000);
  assert.equal(message(ended), 'distri: Interrupted by SIGINT');
  assert.equal(ended.status, 130);
});

test('SIGTERM to the parent ends everything', async () => {
  const ended = await disturbed([], (cli) => process.kill(cli.pid, 'SIGTERM'), 2000);
  assert.equal(message(ended), 'distri: Interrupted by SIGTERM');
  assert.equal(ended.status, 143);
});

test('when the parent is killed, no rank is left and no file that the next run would not remove', () =>
  inNewFolder(async (folder) => {
    const cli = new Cli(longRun, folder);
    await cli.said(/denoising 90\//);
    const ranks = childrenOf(cli.pid);
    process.kill(cli.pid, 'SIGKILL');
    await waitForEnd(ranks, 2000);
    await cli.ended;
    await new Staging().reserve(join(folder, 'out'));
    assert.deepEqual(await readdir(join(folder, 'out')), []);
  }));

/** A run that is expected to fail; nothing may be left in its folder but what was there. */
async function failing(args: readonly string[], folder: string, limits?: string): Promise<Ended> {
  const before = await readdir(folder, { recursive: true });
  const ended = await new Cli(['run-sdxl', '--num_inference_steps', '2', ...args], folder, limits).ended;
  assert.notEqual(ended.status, 0);
  assert.deepEqual(await readdir(folder, { recursive: true }), before);
  return ended;
}

const refused: readonly [args: string[], message: RegExp, status: number][] = [
  [['--image_size', '500'], /^distri: Expected a positive multiple of 8 \(496 and 504 are near\)/, 2],
  [['-n', '100'], /^distri: 50 bands of rows are too many .* at most 8 ranks for each image/, 2],
  [['--output_path', '/proc/nowhere/x.png'], /^distri: \/proc\/nowhere: /, 8],
  [['--output_path', '/dev/full'], /^distri: Expected a path that ends in \.png/, 2],
  [['--model', 'no/such/folder'], /^distri: no\/such\/folder: /, 3],
  [['--promt', 'x'], /^distri: unknown option '--promt' \(Did you mean --prompt\?\)$/, 2],
];

for (const [args, expected, status] of refused) {
  test(`${args.join(' ')} is refused in one line`, () =>
    inNewFolder(async (folder) => {
      const ended = await failing(args, folder);
      assert.match(message(ended), expected);
      assert.equal(ended.stderr.trimEnd().split('\n').length, 1);
      assert.equal(ended.status, status);
    }));
}

test(
  'a folder that may not be written is refused',
  { skip: process.getuid?.() === 0 && 'root may write everywhere' },
  () =>
    inNewFolder(async (folder) => {
      await mkdir(join(folder, 'locked'));
      await chmod(join(folder, 'locked'), 0o555);
      const ended = await failing(['--output_path', 'locked/x.png'], folder);
      assert.match(message(ended), /locked: permission denied$/);
      assert.equal(ended.status, 8);
    }),
);

test('a file that gets too large is an output error', () =>
  inNewFolder(async (folder) => {
    // Blocks of 512 bytes; a picture has some 50 kB. One rank, because the limit holds for shared memory too.
    const ended = await failing(['-n', '1', '--output_path', 'x.png'], folder, 'ulimit -f 32');
    assert.match(message(ended), new RegExp(`^distri: ${folder}/x\\.png: .*too large`, 'i'));
    assert.equal(ended.status, 8);
  }));

test('a full disk is an output error', { skip: !canMount() && 'mounting is not permitted' }, () =>
  inNewFolder(async (folder) => {
    const disk = join(folder, 'disk');
    await mkdir(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', disk]);
    try {
      const ended = await failing(['--output_path', 'disk/x.png'], folder);
      assert.match(message(ended), /\/disk\/x\.png: no space left on the device$/);
      assert.equal(ended.status, 8);
    } finally {
      execFileSync('umount', [disk]);
    }
  }),
);

function canMount(): boolean {
  const attempt = 'mount -t tmpfs tmpfs /mnt && umount /mnt';
  return existsSync('/mnt') && spawnSync('unshare', ['--mount', 'sh', '-c', attempt]).status === 0;
}

/** A copy of the embedded model in `folder`. */
async function copyModel(folder: string): Promise<string> {
  const model = join(folder, 'model');
  await cp(join(packageRoot, 'models', 'tiny-shapes'), model, { recursive: true });
  return model;
}

test('a call that is refused leaves nothing of the ranks that had begun', () =>
  inNewFolder(async (folder) => {
    const cli = new Cli(['run-sdxl', '-n', '3', '--use_cfg_parallel', '--engine', 'lowered'], folder);
    const ended = await cli.ended;
    assert.equal(message(ended), `distri: ${evenRanks}`);
    assert.equal(ended.status, 2);
    assert.throws(() => cli.signalGroup('SIGKILL'), { code: 'ESRCH' });
    assert.deepEqual(await readdir(folder), []);
  }));

test('weights of another shape are refused with the tensor and both shapes', () =>
  inNewFolder(async (folder) => {
    const model = await copyModel(folder);
    const path = join(model, unetFile);
    const bytes = await readFile(path);
    // Latin-1 keeps every byte; the header's length stays the same.
    const changed = bytes.toString('latin1').replace('"shape":[32,4,3,3]', '"shape":[4,32,3,3]');
    await writeFile(path, Buffer.from(changed, 'latin1'));
    const ended = await failing(['--model', model, '--output_path', 'x.png'], folder);
    assert.match(
      message(ended),
      /tensor "conv_in\.weight" has shape \[4, 32, 3, 3\], but the model needs \[32, 4, 3, 3\]$/,
    );
    assert.equal(ended.status, 3);
  }));
