import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { GenerationRecord } from '../../src/app/records/generation-record.js';
import { tinySd15 } from '../support/golden.js';
import { tinyPixArt } from '../support/golden-dit.js';
import { Cli, type Ended, inNewFolder } from './cli.js';

type RunRecord = GenerationRecord['runs'][number];
type RankRecord = RunRecord['ranks'][number];

const titles = 'before the loop  loop  iteration 0  mean of the others  after the loop  end to end'.split(
  '  ',
);

/** Runs the command; it must not take part in more milliseconds than passed. */
async function measured(args: readonly string[], folder: string): Promise<Ended & { readonly wall: number }> {
  const started = performance.now();
  const ended = await new Cli(args, folder).ended;
  assert.equal(ended.status, 0, ended.stderr);
  return { ...ended, wall: performance.now() - started };
}

async function readRecord(folder: string): Promise<GenerationRecord> {
  return JSON.parse(await readFile(join(folder, 'run.json'), 'utf8'));
}

/** Numbers of the table after `heading`, by row. */
function tableRows(text: string, heading: string): string[][] {
  const lines = text.trimEnd().split('\n');
  const at = lines.indexOf(heading);
  assert.ok(at >= 0, `${heading} in ${text}`);
  assert.ok(
    titles.every((title) => lines[at + 1]?.includes(title)),
    lines[at + 1],
  );
  const end = lines.indexOf('', at);
  const rows = lines.slice(at + 2, end < 0 ? undefined : end);
  return rows.map((line) => line.trim().split(/ {2,}/));
}

function cells(rank: RankRecord): string[] {
  const { beforeLoopMs, loopMs, iteration0Ms, otherIterationsMs, afterLoopMs, endToEndMs } = rank;
  return [beforeLoopMs, loopMs, iteration0Ms, otherIterationsMs, afterLoopMs, endToEndMs].map(
    (time) => time?.toFixed(1) ?? '-',
  );
}

/** What the parts must be to one another, whatever they took. */
function checkTimes(rank: RankRecord, steps: number, wall: number): void {
  const { beforeLoopMs, loopMs, iteration0Ms, otherIterationsMs = 0, afterLoopMs, endToEndMs } = rank;
  assert.ok(Math.abs(beforeLoopMs + loopMs + afterLoopMs - endToEndMs) < 1e-6);
  assert.ok(beforeLoopMs > 0 && iteration0Ms > 0 && otherIterationsMs > 0 && afterLoopMs >= 0);
  const iterations = iteration0Ms + (steps - 1) * otherIterationsMs;
  assert.ok(iterations <= loopMs + 1e-6, `${iterations} of ${loopMs}`);
  assert.ok(endToEndMs < wall, `${endToEndMs} of ${wall}`);
  assert.equal(rank.stepSeconds.length, steps);
  assert.ok(Math.abs(1000 * (rank.stepSeconds[0] as number) - iteration0Ms) < 1e-6);
}

test('a record has every rank; what is printed says how long each phase took', () =>
  inNewFolder(async (folder) => {
    const few = ['-n', '2', '--num_inference_steps', '5', '--seed', '-1', '--engine', 'lowered'];
    const args = ['run-sdxl', ...few, '--output_path', 'x.png', '--json', 'out/run.json'];
    const { stdout, stderr, wall } = await measured(args, folder);
    assert.equal(stdout, `${join(folder, 'x.png')}\n`);
    assert.match(stderr, /^load +[\d.]+ s\ntext .*\ndenoise .*first step .*\ndecode .*\ntotal .*$/m);
    assert.ok(!stderr.includes('phases in ms'), 'details are for --verbose');
    assert.deepEqual((await readdir(folder)).sort(), ['out', 'x.png']);
    assert.deepEqual(await readdir(join(folder, 'out')), ['run.json']);
    const record = await readRecord(join(folder, 'out'));
    assert.equal(record.arguments.seed, '18446744073709551615');
    assert.deepEqual(
      [record.setting.model, record.setting.ranks, record.setting.height],
      ['tiny-shapes', 2, 256],
    );
    assert.ok(record.machine.cpuModel.length > 0 && record.versions.distri);
    assert.equal(record.versions.onnxRuntime, undefined, 'what nobody loads has no version');
    assert.equal(record.runs.length, 1);
    const { prompts, files, group, ranks, textSeconds = 0, decodeSeconds = 0 } = record.runs[0] as RunRecord;
    assert.deepEqual(prompts, ['a yellow star on a night sky']);
    assert.deepEqual([files, group, ranks.length], [[join(folder, 'x.png')], 0, 2]);
    for (const rank of ranks) {
      checkTimes(rank, 5, wall);
      assert.ok(rank.beforeLoopMs >= 1000 * (rank.loadSeconds as number));
      assert.equal(rank.waitedSeconds.length, 5);
    }
    const first = ranks[0] as RankRecord;
    assert.ok(first.beforeLoopMs >= 1000 * ((first.loadSeconds as number) + textSeconds));
    assert.ok(first.afterLoopMs >= 1000 * decodeSeconds);
  }));

test('with --verbose there is a row of every rank; run-sd has them too', () =>
  inNewFolder(async (folder) => {
    const model = ['--model', tinySd15, '-n', '3', '--num_inference_steps', '1'];
    const args = ['run-sd', '--verbose', ...model, '--output_path', 'x.png', '--json', 'run.json'];
    const { stderr } = await measured(args, folder);
    const { runs } = await readRecord(folder);
    const ranks = (runs[0] as RunRecord).ranks;
    assert.ok(ranks.every((rank) => !('otherIterationsMs' in rank)));
    assert.deepEqual(
      tableRows(stderr, 'phases in ms, every rank'),
      ranks.map((rank, index) => [String(index), ...cells(rank)]),
    );
    assert.equal(ranks.length, 3);
  }));

test('stages of a pipeline have iterations of their own', () =>
  inNewFolder(async (folder) => {
    const model = ['--model', tinyPixArt, '--image_size', '256', '--no_resolution_binning'];
    const pipeline = ['-n', '2', '--parallelism', 'pipefusion', '--no_split_batch', '--prompt', 'a cactus'];
    const output = ['--output_path', 'x.png', '--json', 'run.json'];
    const few = ['--num_inference_steps', '4'];
    const { wall } = await measured(['run-pixart', ...model, ...pipeline, ...few, ...output], folder);
    const { runs, setting } = await readRecord(folder);
    assert.match(setting.mode, /^pipefusion, 2 stages/);
    for (const rank of (runs[0] as RunRecord).ranks) checkTimes(rank, 4, wall);
  }));

test('prompts of a file are averaged by group, and recorded one by one in their order', () =>
  inNewFolder(async (folder) => {
    const prompts = ['a red heart', 'a white star', 'a blue ring', 'a green box', 'a red ring'];
    await writeFile(join(folder, 'prompts.txt'), prompts.join('\n'));
    const groups = ['-n', '4', '--threads', '1', '--data_parallel', '2', '--num_inference_steps', '3'];
    const output = ['--prompts', 'prompts.txt', '--output_path', 'all', '--json', 'run.json', '--verbose'];
    const { stderr, wall } = await measured(['run-sdxl', ...groups, ...output], folder);
    const { runs, setting } = await readRecord(folder);
    assert.equal(setting.ranks, 2);
    assert.deepEqual(
      runs.map(({ prompts: [prompt], files }) => [prompt, ...files]),
      prompts.map((prompt, index) => [prompt, join(folder, 'all', `000${index}.png`)]),
    );
    for (const { ranks } of runs) {
      assert.equal(ranks.length, 2);
      for (const rank of ranks) checkTimes(rank, 3, wall);
    }
    const loading = runs.filter(({ ranks }) => ranks[0]?.loadSeconds !== undefined);
    assert.deepEqual(loading.map(({ group }) => group).sort(), [0, 1]);

    const rows = tableRows(stderr, "phases in ms, mean of the calls' slowest ranks");
    assert.deepEqual(
      rows.filter(([, kind]) => kind === 'loading the models').map(([group, , number]) => [group, number]),
      [
        ['0', '1'],
        ['1', '1'],
      ],
    );
    const counted = rows.reduce((sum, [, , number]) => sum + Number(number), 0);
    assert.equal(counted, 5);
  }));

test('with --verbose prompts have a row for every call and rank; those that failed have none', () =>
  inNewFolder(async (folder) => {
    await writeFile(join(folder, 'prompts.txt'), 'a red heart\na white star\na blue ring\n');
    await mkdir(join(folder, 'all', '0001.png'), { recursive: true });
    const few = ['-n', '2', '--threads', '1', '--num_inference_steps', '2', '--verbose'];
    const output = ['--prompts', 'prompts.txt', '--output_path', 'all', '--json', 'run.json'];
    const { status, stderr } = await new Cli(['run-sdxl', ...few, ...output], folder).ended;
    assert.equal(status, 8);
    const { runs } = await readRecord(folder);
    assert.deepEqual(
      tableRows(stderr.slice(0, stderr.indexOf('line 2')), 'phases in ms, every rank'),
      runs.flatMap(({ files, ranks }) =>
        ranks.map((rank, index) => [files[0]?.slice(-8), '0', String(index), ...cells(rank)]),
      ),
    );
    assert.deepEqual(
      runs.map(({ prompts }) => prompts[0]),
      ['a red heart', 'a blue ring'],
    );
  }));

test('where the record cannot be written, nothing is drawn; where nothing is drawn there is none', () =>
  inNewFolder(async (folder) => {
    await mkdir(join(folder, 'run.json'));
    for (const args of [[], ['-n', '2', '--data_parallel', '2']]) {
      const ended = await new Cli(['run-sdxl', ...args, '--json', 'run.json'], folder).ended;
      assert.equal(ended.status, 8);
      assert.match(ended.stderr, /^distri: .*run\.json: a folder; give the path of a file\n$/);
      assert.deepEqual(await readdir(folder), ['run.json']);
    }
    const missing = ['run-sdxl', '--model', './missing', '--json', 'new.json'];
    assert.notEqual((await new Cli(missing, folder).ended).status, 0);
    const dataset = ['generate-coco', '--limit', '1', '--json', 'new.json'];
    assert.match((await new Cli(dataset, folder).ended).stderr, /unknown option '--json'/);
    assert.deepEqual(await readdir(folder), ['run.json']);
  }));
