import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normalizeArguments } from '../../../src/commands/options/arguments.js';

const commands = ['run-sdxl'];

const cases: readonly [given: string, normalized: string][] = [
  ['run-sdxl --sync_mode full_sync', 'run-sdxl --sync_mode full_sync'],
  ['run_sdxl --sync-mode full_sync', 'run-sdxl --sync_mode full_sync'],
  ['--quiet run_sdxl --no-split-batch', '--quiet run-sdxl --no_split_batch'],
  ['run-sdxl --output-path=a-b_c.png', 'run-sdxl --output_path=a-b_c.png'],
  ['run-sdxl -n 2 --prompt a-b', 'run-sdxl -n 2 --prompt a-b'],
  ['--prompt run_sdxly run_sdxl', '--prompt run_sdxly run-sdxl'],
  ['run-sdxl -- --output-path', 'run-sdxl -- --output-path'],
  ['-- run_sdxl', '-- run_sdxl'],
];

for (const [given, normalized] of cases) {
  test(`"${given}" is read as "${normalized}"`, () => {
    assert.deepEqual(normalizeArguments(given.split(' '), commands), normalized.split(' '));
  });
}

test('values with spaces are left alone', () => {
  const argv = ['run-sdxl', '--prompt', '--not-an-option but a prompt'];
  assert.deepEqual(normalizeArguments(argv, commands), argv);
});
