import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withFile, writeAtomically } from '../../src/base/file-io.js';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-file-io-'));
  path = join(folder, 'x');
});
afterEach(() => rm(folder, { recursive: true }));

describe('an atomic write', () => {
  it('leaves the older file and no temporary one when it fails', async () => {
    await writeFile(path, 'old');
    const failing = writeAtomically(path, async (handle) => {
      await handle.write('new, but not all of');
      throw new Error('disk on fire');
    });
    await assert.rejects(failing, /disk on fire/);
    assert.deepEqual(await readdir(folder), ['x']);
    assert.equal(await readFile(path, 'utf8'), 'old');
  });

  it('shows the new file only when it is whole', async () => {
    await writeFile(path, 'old');
    await writeAtomically(path, async (handle) => {
      await handle.write('new');
      assert.equal(await readFile(path, 'utf8'), 'old');
    });
    assert.equal(await readFile(path, 'utf8'), 'new');
  });
});

describe('opening what is no file', () => {
  it('names a folder as one', async () => {
    await assert.rejects(
      withFile(folder, async () => undefined),
      /a folder, not a file/,
    );
  });

  it('names what is missing', async () => {
    await assert.rejects(
      withFile(path, async () => undefined),
      { code: 'checkpoint', message: `${path}: no such file or folder` },
    );
  });
});
