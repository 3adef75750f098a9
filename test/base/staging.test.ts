import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
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

test('unfinished files lie where nobody else may write, and only as long as they are', async () => {
  const staging = new Staging();
  const path = await staging.add(join(folder, 'a'));
  const { mode } = await stat(dirname(path));
  assert.equal(mode & 0o777, 0o700);
  assert.deepEqual(await readdir(folder), [basename(dirname(path))]);
  await staging.discard();
  assert.deepEqual(await readdir(folder), []);
  await new Staging().reserve(join(folder, 'b'));
  assert.deepEqual(await readdir(folder), ['b']);
  assert.deepEqual(await readdir(join(folder, 'b')), []);
});

test('what a killed process left is removed by the next one, what a running one has is not', async () => {
  const module = JSON.stringify(new URL('../../src/base/staging.js', import.meta.url).href);
  const target = JSON.stringify(join(folder, 'x.png'));
  const program = `
    const { Staging } = await import(${module});
    const { writeFile } = await import('node:fs/promises');
    await writeFile(await new Staging().add(${target}), 'half');
    console.log('written');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
  await once(child.stdout, 'data');
  const [left] = await readdir(folder);
  assert.match(left ?? '', /^\.distri-/);
  const meanwhile = new Staging();
  await meanwhile.add(join(folder, 'a'));
  assert.ok((await readdir(folder)).includes(left as string), 'it is still written to');
  child.kill('SIGKILL');
  await once(child, 'exit');
  await writeFile(join(folder, '.distri-elsewhere-1-99999999-abc'), 'of another machine');
  await new Staging().reserve(folder);
  await meanwhile.discard();
  assert.deepEqual(await readdir(folder), ['.distri-elsewhere-1-99999999-abc']);
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
    ['/proc/nowhere/a', /^\/proc\/nowhere: no such file or folder$/],
    ['/proc/a', /^\/proc: no files can be made in this folder$/],
    [join(folder, 'file', 'a'), /file: /],
    [join(folder, 'loop', 'a'), /loop/],
  ];
  for (const [target, message] of refused) {
    await assert.rejects(new Staging().add(target), { code: 'output', message }, target);
  }
});
