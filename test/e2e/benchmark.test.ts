import assert from 'node:assert/strict';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Cli, inNewFolder } from './cli.js';

const few = ['--mode', 'benchmark', '--num_inference_steps', '4', '--warmup_steps', '1'];

test('a benchmark prints the latency, tables and everything as JSON', () =>
  inNewFolder(async (folder) => {
    const times = ['--warmup_times', '1', '--test_times', '5', '--ignore_ratio', '0.4'];
    const setup = ['-n', '4', '--seed', '-1', '--engine', 'onnxruntime'];
    const args = [...few, ...times, ...setup, '--json', 'out/b.json'];
    const { status, stdout, stderr } = await new Cli(['run-sdxl', ...args], folder).ended;
    assert.equal(status, 0, stderr);
    const [latency = '', ...table] = stdout.split('\n');
    assert.match(latency, /^Latency: \d+\.\d{5} s$/);
    for (const row of ['whole call', 'text', 'first step', 'synchronous step', 'stale step', 'VAE decode']) {
      assert.ok(
        table.some((line) => line.startsWith(`${row} `)),
        `${row} in ${stdout}`,
      );
    }
    assert.match(stderr, /^measuring 6\/6 runs$/m);
    assert.deepEqual(await readdir(folder), ['out']);
    assert.deepEqual(await readdir(join(folder, 'out')), ['b.json']);

    const record = JSON.parse(await readFile(join(folder, 'out', 'b.json'), 'utf8'));
    const calls = record.runs.map(({ callSeconds }: { callSeconds: number }) => callSeconds);
    assert.equal(calls.length, 5);
    const middle = calls.toSorted((a: number, b: number) => a - b).slice(1, 4);
    const mean = middle.reduce((sum: number, time: number) => sum + time, 0) / 3;
    assert.ok(Math.abs(record.latencySeconds - mean) < 1e-12);
    assert.equal(latency, `Latency: ${mean.toFixed(5)} s`);
    assert.deepEqual(
      record.phases.map(({ phase, count }: { phase: string; count: number }) => [phase, count]),
      [
        ['call', 5],
        ['text', 5],
        ['firstStep', 5],
        ['synchronousStep', 5],
        ['staleStep', 10],
        ['decode', 5],
      ],
    );
    assert.equal(record.arguments.seed, '18446744073709551615');
    assert.equal(record.arguments.test_times, 5);
    assert.equal(record.setting.ranks, 4);
    assert.ok(record.machine.cpuModel.length > 0 && record.versions.onnxRuntime.length > 0);
    assert.equal(record.ranks.length, 4);
    for (const { peakMemoryBytes, privateMemoryBytes, exchanges } of record.ranks) {
      assert.ok(peakMemoryBytes > privateMemoryBytes && privateMemoryBytes > 0);
      assert.deepEqual(
        exchanges.map(({ kind }: { kind: string }) => kind),
        ['synchronous', 'stale'],
      );
      assert.ok(exchanges.every(({ bytesPublished }: { bytesPublished: number }) => bytesPublished > 0));
    }
    assert.match(stdout, /^phases in ms, slowest rank, mean of 5 runs$/m);
    for (const { ranks, textSeconds, denoiseSeconds, decodeSeconds } of record.runs) {
      const { beforeLoopMs, loopMs, afterLoopMs, endToEndMs, loadSeconds } = ranks[0];
      assert.ok(Math.abs(beforeLoopMs + loopMs + afterLoopMs - endToEndMs) < 1e-6);
      assert.ok(Math.abs(loopMs / 1000 - denoiseSeconds) < 1e-9);
      assert.ok(beforeLoopMs / 1000 >= textSeconds && afterLoopMs / 1000 >= decodeSeconds);
      assert.equal(loadSeconds, undefined);
      assert.equal(ranks.length, 4);
      for (const { stepSeconds, waitedSeconds, bytesFetched } of ranks) {
        assert.deepEqual([stepSeconds.length, waitedSeconds.length, bytesFetched.length], [4, 4, 4]);
      }
    }
  }));

test('an architecture is measured without a checkpoint; --quiet prints the latency alone', () =>
  inNewFolder(async (folder) => {
    const args = [...few, '--random_weights', 'tiny-shapes', '--warmup_times', '0', '--test_times', '2'];
    const cli = new Cli(
      ['run-sdxl', '--quiet', ...args, '--json', 'b.json'],
      folder,
      'export DISTRI_CACHE=$PWD/cache',
    );
    const { status, stdout, stderr } = await cli.ended;
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^Latency: \d+\.\d{5} s\n$/);
    assert.equal(stderr, '');
    const record = JSON.parse(await readFile(join(folder, 'b.json'), 'utf8'));
    const phases = record.phases.map(({ phase }: { phase: string }) => phase);
    assert.ok(!phases.includes('text') && !phases.includes('decode'), phases.join());
    assert.equal(record.setting.randomWeights, true);
    assert.deepEqual(await readdir(join(folder, 'cache', 'random-weights')), ['tiny-shapes']);
  }));

test('where the JSON cannot be written, nothing is measured', () =>
  inNewFolder(async (folder) => {
    await mkdir(join(folder, 'b.json'));
    const { status, stdout, stderr } = await new Cli(['run-sdxl', ...few, '--json', 'b.json'], folder).ended;
    assert.equal(status, 8);
    assert.equal(stdout, '');
    assert.match(stderr, /^distri: .*b\.json: a folder; give the path of a file\n$/);
  }));
