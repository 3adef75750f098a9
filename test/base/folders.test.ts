import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { makeCacheFolder } from '../../src/base/cache-dir.js';
import { makeFolders } from '../../src/base/folders.js';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'distri-folders-'));
});
after(() => rm(root, { recursive: true }));

test('folders are made with all that are missing above them, which are returned', async () => {
  const [a, b, c] = [join(root, 'a'), join(root, 'a', 'b'), join(root, 'a', 'b', 'c')];
  assert.deepEqual(await makeFolders(b), [a, b]);
  assert.deepEqual(await makeFolders(c), [c]);
  assert.deepEqual(await makeFolders(c), []);
});

test('several processes may make the same folder at once', async () => {
  const path = join(root, 'x', 'y', 'z');
  const made = (await Promise.all(Array.from({ length: 20 }, () => makeFolders(path)))).flat();
  assert.deepEqual(made.toSorted(), [...new Set(made)].sort(), 'each is made by one');
  assert.deepEqual(await readdir(path), []);
});

test('where no folder can be made is an error, not an endless attempt', { timeout: 10_000 }, async () => {
  await assert.rejects(makeFolders('/proc/x/y'), { code: 'ENOENT' });
  await writeFile(join(root, 'file'), '');
  await assert.rejects(makeFolders(join(root, 'file')), { code: 'ENOTDIR' });
  await assert.rejects(makeFolders(join(root, 'file', 'x')), { code: 'ENOTDIR' });
  await assert.rejects(makeCacheFolder('/proc/x/y'), {
    code: 'output',
    message: '/proc/x/y: no such file or folder; set DISTRI_CACHE to a folder that can be written',
  });
});
