import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cli, inNewFolder } from '../../e2e/cli.js';

const answers: readonly [argv: readonly string[], stderr: string][] = [
  [['run-sdxl', '--steps', '3'], "unknown option '--steps': here it is --num_inference_steps"],
  [['run-sdxl', '--enable-tiling'], "unknown option '--enable_tiling': here it is --vae tiled"],
  [
    ['export-html', '--image_dirs', 'a'],
    "unknown option '--image_dirs': here it is the folders alone, without an option",
  ],
  [
    ['run-sdxl', 'a red heart'],
    'run-sdxl takes no arguments besides options: what to draw goes behind --prompt',
  ],
  [['run-sdxl', '--promt', 'x'], "unknown option '--promt' (Did you mean --prompt?)"],
  [['plan', 'x'], "too many arguments for 'plan'. Expected 0 arguments but got 1."],
];

for (const [argv, line] of answers) {
  test(`${argv.join(' ')} is answered with what would work`, () =>
    inNewFolder(async (folder) => {
      const { status, stderr } = await new Cli(argv, folder).ended;
      assert.equal(status, 2);
      assert.equal(stderr, `distri: ${line}\n`);
    }));
}
