import assert from 'node:assert/strict';
import { mkdir, readdir, rename, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { CacheEntry } from '../../src/app/cache/entries.js';
import { convertFloats } from '../../src/checkpoint/conversion.js';
import { SafetensorsFile, writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { openPacked } from '../../src/engine/lowered/packed-weights.js';
import { TorchGenerator } from '../../src/tensor/random-torch.js';
import { packableWeights } from '../support/packable-weights.js';
import { bytesOf, writeStored } from '../support/stored-file.js';
import { Cli, type Ended, inNewFolder } from './cli.js';

const OLD = new Date('2001-02-03T04:05:06Z');

/** A folder with a checkpoint and a cache of everything that is kept. */
interface Kept {
  readonly folder: string;
  readonly cache: string;
  /** Runs `distri cache`. */
  run(...args: string[]): Promise<Ended>;
  list(...args: string[]): Promise<readonly CacheEntry[]>;
}

function withCache(use: (kept: Kept) => Promise<void>): Promise<void> {
  return inNewFolder(async (folder) => {
    const cache = join(folder, 'cache');
    const source = join(folder, 'model', 'unet', 'diffusion_pytorch_model.safetensors');
    await mkdir(dirname(source), { recursive: true });
    const halves = Uint16Array.from({ length: 64 * 32 }, (_, i) => i);
    await writeStored(source, [{ name: 'w', dtype: 'F16', shape: [64, 32], bytes: bytesOf(halves) }]);
    const [converted] = await convertFloats([await SafetensorsFile.open(source)], { conversionDir: cache });
    const weights = await packableWeights(converted?.path ?? '');
    await (await openPacked(weights, { threads: 1, folder: join(cache, 'packed-weights') }))?.close();
    const random = join(cache, 'random-weights', 'sdxl-mid', 'unet');
    await mkdir(random, { recursive: true });
    await writeSafetensors(join(random, 'diffusion_pytorch_model.safetensors'), {
      w: new TorchGenerator(1n).randn([50_000]),
    });
    await writeFile(join(cache, 'machine-0123456789abcdef.json'), '{}');
    const abandoned = join(cache, '.model.safetensors.1-01234567.tmp');
    await writeFile(abandoned, 'half');
    await utimes(abandoned, OLD, OLD);
    await writeFile(join(cache, '.model.safetensors.1-76543210.tmp'), 'written now');
    await writeFile(join(cache, 'notes.txt'), 'of somebody else');
    const run = (...args: string[]) =>
      new Cli(['cache', ...args], folder, `export DISTRI_CACHE=${cache}`).ended;
    const list = async (...args: string[]) => {
      const { stdout, stderr } = await run('list', '--json', ...args);
      assert.ok(stdout.startsWith('{'), stderr);
      return (JSON.parse(stdout) as { entries: CacheEntry[] }).entries;
    };
    await use({ folder, cache, run, list });
  });
}

const kindsOf = (entries: readonly CacheEntry[]) => entries.map(({ kind }) => kind).toSorted();
const all = ['converted', 'measured', 'packed', 'random', 'unfinished'];

test('cache list tells what is kept, how large it is, and what it was made of', () =>
  withCache(async ({ folder, cache, run, list }) => {
    const entries = await list();
    assert.deepEqual(kindsOf(entries), all);
    const of = (kind: string) => entries.find((entry) => entry.kind === kind);
    assert.equal(of('random')?.name, 'random-weights/sdxl-mid');
    assert.equal(of('random')?.model, 'sdxl-mid');
    assert.ok((of('random')?.bytes ?? 0) >= 200_000);
    const unet = join(folder, 'model', 'unet');
    assert.deepEqual([of('converted')?.model, of('packed')?.model], [unet, unet]);
    assert.ok(entries.every(({ orphaned }) => !orphaned));
    const { status, stdout } = await run('list');
    assert.equal(status, 0);
    assert.match(stdout, /^random-weights\/sdxl-mid +random +200 kB +\d{4}-\d\d-\d\d {2}sdxl-mid$/m);
    assert.match(stdout, new RegExp(`^5 entries, \\d+ kB in ${cache}$`, 'm'));
  }));

test('cache list takes names, kinds, models and what is not used any more', () =>
  withCache(async ({ folder, list }) => {
    assert.deepEqual(kindsOf(await list('packed', 'random-weights/sdxl-mid')), ['packed', 'random']);
    assert.deepEqual(kindsOf(await list(join(folder, 'model', 'unet'))), ['converted', 'packed']);
    assert.deepEqual(kindsOf(await list('--unused-for', '1')), ['unfinished']);
    await rename(join(folder, 'model'), join(folder, 'moved'));
    assert.deepEqual(kindsOf(await list('--orphaned')), ['converted', 'packed']);
  }));

test('cache remove removes what is named and nothing else', () =>
  withCache(async ({ cache, run, list }) => {
    const [packed] = await list('packed');
    const removed = await run('remove', 'packed', 'measured', '--yes');
    assert.equal(removed.status, 0, removed.stderr);
    assert.deepEqual(removed.stdout.trim().split('\n').toSorted(), [
      'machine-0123456789abcdef.json',
      packed?.name,
    ]);
    assert.match(removed.stderr, /^removed 2 entries of [\d.]+ kB in /);
    assert.deepEqual(kindsOf(await list()), ['converted', 'random', 'unfinished']);
    const rest = await run('rm', '--all', '-y');
    assert.equal(rest.status, 0, rest.stderr);
    assert.deepEqual(await list(), []);
    const left = await readdir(cache, { recursive: true });
    assert.deepEqual(left.toSorted(), [
      '.model.safetensors.1-76543210.tmp',
      'notes.txt',
      'packed-weights',
      'packed-weights/.lock',
      'random-weights',
    ]);
  }));

test('cache remove --dry_run removes nothing', () =>
  withCache(async ({ run, list }) => {
    const { status, stdout, stderr } = await run('remove', '--all', '--dry-run');
    assert.equal(status, 0);
    assert.equal(stdout.trim().split('\n').length, all.length);
    assert.match(stderr, /^would remove 5 entries of /);
    assert.deepEqual(kindsOf(await list()), all);
  }));

for (const [name, args, message] of [
  [
    'without anything named',
    [],
    /^distri: nothing is named; give names of .*--all, --unused_for or --orphaned$/m,
  ],
  ['without --yes where nobody can be asked', ['--all'], /^distri: 5 entries .* --yes removes them$/m],
  ['of what is not there', ['pakced', '--yes'], /^distri: the cache has no "pakced"; /m],
  ['of all and of names', ['--all', 'packed', '--yes'], /^distri: --all and names exclude each other/m],
  [
    'for a time that is none',
    ['--unused_for', 'ever', '--yes'],
    /^distri: Expected a number .* for --unused_for/m,
  ],
] as const) {
  test(`cache remove ${name} removes nothing`, () =>
    withCache(async ({ run, list }) => {
      const { status, stdout, stderr } = await run('remove', ...args);
      assert.equal(status, 2);
      assert.equal(stdout, '');
      assert.match(stderr, message);
      assert.deepEqual(kindsOf(await list()), all);
    }));
}

test('a cache that is not there is empty', () =>
  inNewFolder(async (folder) => {
    const { status, stdout } = await new Cli(['cache', 'list'], folder, 'export DISTRI_CACHE=none').ended;
    assert.equal(status, 0);
    assert.equal(stdout, '0 entries, 0 B in none\n');
    const removed = await new Cli(['cache', 'remove', '--all'], folder, 'export DISTRI_CACHE=none').ended;
    assert.deepEqual([removed.status, removed.stderr], [0, 'nothing to remove\n']);
  }));
