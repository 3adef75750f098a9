import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { childrenOf } from '../ranks/fixtures/processes.js';
import { Cli, inNewFolder } from './cli.js';

const prompts = ['a red heart', 'a white star', 'a blue ring', 'a green box'];
const few = ['--num_inference_steps', '4', '--threads', '1', '--seed', '5'];

async function writePrompts(folder: string): Promise<void> {
  await writeFile(join(folder, 'prompts.txt'), `${prompts.join('\n\n')}\n`);
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `000${index}.png`);
}

test('prompts that two groups draw are the pictures of single runs, to the bit', () =>
  inNewFolder(async (folder) => {
    await writePrompts(folder);
    const args = ['-n', '2', '--data_parallel', '2', '--prompts', 'prompts.txt', '--output_path', 'all'];
    const { status, stdout, stderr } = await new Cli(['run-sdxl', ...few, ...args], folder).ended;
    assert.equal(status, 0, stderr);
    assert.deepEqual(
      stdout.trimEnd().split('\n'),
      names(4).map((name) => join(folder, 'all', name)),
    );
    assert.match(stderr, /^4 pictures in [\d.]+ s, \d+\.?\d* pictures\/s$/m);
    assert.match(stderr, /^2 groups, each of 1 rank with 1 thread/m);
    assert.match(stderr, /^drawing 16\/16 steps, \d of 4 done, [\d.]+ m?s\/step$/m);
    assert.deepEqual((await readdir(join(folder, 'all'))).sort(), names(4));
    // The second picture of a group is drawn with the models of the first.
    for (const index of [0, 3]) {
      const one = ['-n', '1', '--prompt', prompts[index] ?? '', '--output_path', `${index}.png`];
      assert.equal((await new Cli(['run-sdxl', ...few, ...one], folder).ended).status, 0);
      const [alone, together] = await Promise.all(
        [`${index}.png`, join('all', `000${index}.png`)].map((name) => readFile(join(folder, name))),
      );
      assert.ok(alone?.equals(together as Buffer), `picture ${index} differs`);
    }
  }));

test('a prompt that fails is reported with its line, the others are drawn', () =>
  inNewFolder(async (folder) => {
    await writePrompts(folder);
    await mkdir(join(folder, 'all', '0001.png'), { recursive: true });
    const args = ['-n', '1', '--prompts', 'prompts.txt', '--output_path', 'all'];
    const { status, stdout, stderr } = await new Cli(['run-sdxl', ...few, ...args], folder).ended;
    assert.equal(status, 8);
    assert.match(stderr, /^line 3 of prompts\.txt \("a white star"\): .*0001\.png: a folder/m);
    assert.match(
      stderr.trimEnd().split('\n').at(-1) ?? '',
      /^distri: 1 of 4 prompts failed \(line 3 of prompts\.txt\); the first: .*0001\.png: a folder/,
    );
    assert.deepEqual(
      stdout.split('\n').filter((line) => line.endsWith('.png')),
      [0, 2, 3].map((index) => join(folder, 'all', `000${index}.png`)),
    );
    assert.deepEqual(await readdir(join(folder, 'all', '0001.png')), []);
  }));

test('when a rank is killed, its group is started again and nothing is lost', () =>
  inNewFolder(async (folder) => {
    await writePrompts(folder);
    const groups = ['-n', '4', '--data_parallel', '2', '--num_inference_steps', '30'];
    const args = [...groups, '--prompts', 'prompts.txt', '--output_path', 'all'];
    const cli = new Cli(['run-sdxl', ...few, ...args], folder);
    await cli.said(/^drawing/m);
    const ranks = childrenOf(cli.pid);
    assert.equal(ranks.length, 4);
    process.kill(ranks[1] as number, 'SIGKILL');
    const { status, stderr } = await cli.ended;
    assert.equal(status, 0, stderr);
    assert.deepEqual((await readdir(join(folder, 'all'))).sort(), names(4));
  }));

test('when it is interrupted, finished pictures stay and nothing else', () =>
  inNewFolder(async (folder) => {
    await writePrompts(folder);
    const args = [
      '-n',
      '1',
      '--num_inference_steps',
      '40',
      '--prompts',
      'prompts.txt',
      '--output_path',
      'all',
    ];
    const cli = new Cli(['run-sdxl', ...few, ...args], folder);
    await cli.said(/^drawing .*, 1 of 4 done/m);
    cli.signalGroup('SIGINT');
    const { status, stderr } = await cli.ended;
    assert.equal(status, 130);
    assert.match(stderr, /^distri: Interrupted by SIGINT$/m);
    const left = (await readdir(join(folder, 'all'))).sort();
    assert.deepEqual(left, names(left.length));
    assert.ok(left.length >= 1 && left.length < 4, left.join());
  }));
