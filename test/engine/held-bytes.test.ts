import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { dtypeNames } from '../../src/engine/device.js';
import type { HeldProgram } from '../support/hold-program.js';

const program = fileURLToPath(new URL('../support/hold-program.js', import.meta.url));

/** Room that commands work in, which is not planned: kPackedBytes of native/device/cpu/attention.cc. */
const WORK = 16 * 2 ** 20;
/** Of what is planned: large pages that are not full, packed weights' last lanes, threads' stacks. */
const TOLERANCE = 0.05;

for (const dtype of dtypeNames) {
  test(`a program holds what its list of commands says: ${dtype}`, async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [program, dtype]);
    const { held, planned } = JSON.parse(stdout) as HeldProgram;
    const own = planned.privateWeights + planned.activations + planned.kept;
    assert.ok(held > (1 - TOLERANCE) * own, `${held} bytes, planned were ${own}`);
    assert.ok(held < (1 + TOLERANCE) * own + WORK, `${held} bytes, planned were ${own}`);
  });
}
