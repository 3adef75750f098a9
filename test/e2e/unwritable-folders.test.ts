import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { Cli, inNewFolder } from './cli.js';

const few = ['-n', '1', '--num_inference_steps', '2'];
const none = /^distri: (\/proc\S*): no such file or folder[^\n]*\n$/;

/** Commands whose output or cache is where nobody can make a folder, and which folder they name. */
const refused: readonly [argv: readonly string[], environment: string, folder: string][] = [
  [['run-sdxl', ...few], 'HOME=/proc', '/proc/.cache/distri'],
  [['run-sdxl', ...few], 'XDG_CACHE_HOME=/proc/x', '/proc/x/distri'],
  [['run-sdxl', ...few, '--output_path', '/proc/x/y.png'], 'A=1', '/proc/x'],
  [['generate-coco', ...few, '--limit', '1', '--output_root', '/proc/x/y'], 'A=1', '/proc/x/y'],
  [['dump-coco', '--limit', '1', '--output_root', '/proc/x/y'], 'A=1', '/proc/x/y/images'],
];

for (const [argv, environment, place] of refused) {
  test(
    `${argv[0]} with ${environment} names ${place}, where no folder can be made`,
    { timeout: 60_000 },
    () =>
      inNewFolder(async (folder) => {
        const { status, stderr } = await new Cli(argv, folder, `unset DISTRI_CACHE; export ${environment}`)
          .ended;
        assert.equal(status, 8, stderr);
        assert.equal(none.exec(stderr)?.[1], place, stderr);
        assert.deepEqual(await readdir(folder), []);
      }),
  );
}

test('plan does without a cache', { timeout: 60_000 }, () =>
  inNewFolder(async (folder) => {
    const { status, stdout, stderr } = await new Cli(
      ['plan', '-n', '1'],
      folder,
      'unset DISTRI_CACHE; export HOME=/proc',
    ).ended;
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^best: 1 rank/m);
  }),
);
