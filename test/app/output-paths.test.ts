import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { chooseOutputFolder, chooseOutputPath, numberedPaths } from '../../src/app/output-paths.js';

test('without a path the picture gets a readable new name in results/', () => {
  const path = chooseOutputPath(undefined, 'A small red heart, 8k!', '.png');
  assert.equal(dirname(path), resolve('results'));
  assert.match(basename(path), /^\d{8}-\d{6}-\d{3}-a-small-red-heart-8k\.png$/);
});

test('a long prompt, or one in another script, makes a name of bearable length', () => {
  assert.match(
    basename(chooseOutputPath(undefined, '星'.repeat(500), '.png')),
    /^\d{8}-\d{6}-\d{3}-星{40}\.png$/,
  );
  assert.match(basename(chooseOutputPath(undefined, '?!', '.png')), /^\d{8}-\d{6}-\d{3}\.png$/);
});

test('a folder as path gets a new name in it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'distri-'));
  try {
    assert.equal(dirname(chooseOutputPath(folder, 'x', '.png')), folder);
    assert.equal(dirname(chooseOutputPath(join(folder, 'new/'), 'x', '.png')), join(folder, 'new'));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a path must have the extension of what is written to it', () => {
  assert.equal(chooseOutputPath('a/b.PNG', '', '.png'), resolve('a/b.PNG'));
  assert.throws(
    () => chooseOutputPath('a.jpg', '', '.png'),
    /Expected a path that ends in \.png, or a folder/,
  );
  assert.throws(() => chooseOutputPath('a.png', '', '.safetensors'), /ends in \.safetensors/);
});

test('several pictures are numbered, and sort in order', () => {
  assert.deepEqual(numberedPaths('a/b.png', 1), ['a/b.png']);
  assert.deepEqual(numberedPaths('a/b.png', 2), ['a/b-0.png', 'a/b-1.png']);
  assert.equal(numberedPaths('a/b.png', 11)[3], 'a/b-03.png');
});

test('single prompts go to a folder: the given one, or a new one in results/', () => {
  assert.equal(chooseOutputFolder('a/b', ''), resolve('a/b'));
  assert.equal(chooseOutputFolder('v1.0/', ''), resolve('v1.0'));
  const path = chooseOutputFolder(undefined, 'A heart!');
  assert.equal(dirname(path), resolve('results'));
  assert.match(basename(path), /^\d{8}-\d{6}-\d{3}-a-heart$/);
  assert.throws(() => chooseOutputFolder('a.png', ''), { message: /^Expected a folder for --output_path/ });
});
