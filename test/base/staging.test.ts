import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { Staging } from '../../src/base/staging.js';

let root: string;
let folder: string;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'distri-'));
});
beforeEach(async () => {
  folder = await mkdtemp(join(root, 'test-'));
});
after(() => rm(root, { recursive: true }));

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

test('files appear together at the commit, replacing older ones, and nothing else is left', async () => {
  await writeFile(join(folder, 'a'), 'old');
  const staging = new Staging();
  const a = await staging.add(join(folder, 'a'));
  const b = await staging.add(join(folder, 'new', 'folder', 'b'));
  await write(a, 'new');
  await write(b, 'new too');
  assert.equal(await readFile(join(folder, 'a'), 'utf8'), 'old');
  await staging.commit();
  assert.equal(await readFile(join(folder, 'a'), 'utf8'), 'new');
  assert.equal(await readFile(join(folder, 'new', 'folder', 'b'), 'utf8'), 'new too');
  assert.deepEqual((await readdir(folder)).sort(), ['a', 'new']);
  assert.deepEqual(await readdir(join(folder, 'new', 'folder')), ['b']);
});

test('before anything is written there is nothing to clean up', async () => {
  const staging = new Staging();
  await staging.add(join(folder, 'a'));
  assert.deepEqual(await readdir(folder), []);
  await staging.discard();
});

test('what was not committed is removed, with new folders and whatever else the writer left', async () => {
  const staging = new Staging();
  const a = await staging.add(join(folder, 'new', 'folder', 'a'));
  await write(a, 'half');
  await write(`${a}.tmp`, 'less');
  await staging.discard();
  assert.deepEqual(await readdir(folder), []);
});

test('a file that was never written is an output error of the commit', async () => {
  const staging = new Staging();
  await staging.add(join(folder, 'a'));
  await assert.rejects(staging.commit(), { code: 'output', message: /\/a: no such file/ });
  await staging.discard();
});

test('targets that can not be files are refused at once', async () => {
  await writeFile(join(folder, 'file'), '');
  await symlink('loop', join(folder, 'loop'));
  const refused: readonly [target: string, message: RegExp][] = [
    [folder, /: a folder; give the path of a file$/],
    ['/dev/full', /^\/dev\/full: not a regular file/],
    ['/proc/nowhere/a', /^\/proc\/nowhere: /],
    [join(folder, 'file', 'a'), /file: /],
    [join(folder, 'loop', 'a'), /loop/],
  ];
  for (const [target, message] of refused) {
    await assert.rejects(new Staging().add(target), { code: 'output', message }, target);
  }
});
