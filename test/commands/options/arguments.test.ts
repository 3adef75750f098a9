import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normalizeArguments } from '../../../src/commands/options/arguments.js';

const program = { name: 'distri', options: ['--quiet', '--verbose'] };
const commands = [
  {
    name: 'run-sdxl',
    options: [
      '--sync_mode',
      '--no_split_batch',
      '--output_path',
      '--output_type',
      '--prompt',
      '--prompts',
      '--num_inference_steps',
    ],
  },
];

const cases: readonly [given: string, normalized: string][] = [
  ['run-sdxl --sync_mode full_sync', 'run-sdxl --sync_mode full_sync'],
  ['run_sdxl --sync-mode full_sync', 'run-sdxl --sync_mode full_sync'],
  ['--quiet run_sdxl --no-split-batch', '--quiet run-sdxl --no_split_batch'],
  ['run-sdxl --output-path=a-b_c.png', 'run-sdxl --output_path=a-b_c.png'],
  ['run-sdxl -n 2 --prompt a-b', 'run-sdxl -n 2 --prompt a-b'],
  ['--prompt run_sdxly run_sdxl', '--prompt run_sdxly run-sdxl'],
  ['run-sdxl -- --output-path', 'run-sdxl -- --output-path'],
  ['-- run_sdxl', '-- run_sdxl'],
  // The beginning of a name will do, where it is of one option only.
  ['run-sdxl --num-inf 3 --verb', 'run-sdxl --num_inference_steps 3 --verbose'],
  ['run-sdxl --output=x', 'run-sdxl --output=x'],
  ['run-sdxl --prompt a', 'run-sdxl --prompt a'],
  ['--sync full_sync run-sdxl', '--sync_mode full_sync run-sdxl'],
];

for (const [given, normalized] of cases) {
  test(`"${given}" is read as "${normalized}"`, () => {
    assert.deepEqual(normalizeArguments(given.split(' '), program, commands), normalized.split(' '));
  });
}

test('values with spaces are left alone', () => {
  const argv = ['run-sdxl', '--prompt', '--not-an-option but a prompt'];
  assert.deepEqual(normalizeArguments(argv, program, commands), argv);
});
