import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Inspection } from '../../src/commands/output/inspect.js';
import { Cli, packageRoot } from './cli.js';

test('inspect tells the machine, what is loaded and how fast ranks exchange', async () => {
  const { status, stdout, stderr } = await new Cli(['inspect'], packageRoot).ended;
  assert.equal(status, 0, stderr);
  for (const title of ['machine', 'versions', 'native addon', 'transports']) {
    assert.match(stdout, new RegExp(`^${title}$`, 'm'));
  }
  assert.match(stdout, /shm +yes/);
  assert.match(stdout, /^ +67108864 +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d$/m);
});

test('inspect --json has the same; one rank measures nothing', async () => {
  const { stdout } = await new Cli(['inspect', '-n', '1', '--json'], packageRoot).ended;
  const inspection = JSON.parse(stdout) as Inspection;
  assert.equal(inspection.addon.usable, true);
  assert.match(inspection.addon.simdLevel ?? '', /^(narrow|v3|v4|bf16|amx)$/);
  assert.match(inspection.versions.onnxRuntime ?? '', /^1\.\d+\.\d+$/);
  assert.equal(inspection.exchange, undefined);
});

test('DISTRI_SIMD names the best kernels that may be used, and nothing else', async () => {
  const least = await new Cli(['inspect', '-n', '1'], packageRoot, 'export DISTRI_SIMD=narrow').ended;
  assert.match(least.stdout, /^ +kernels +narrow$/m);
  const { status, stderr } = await new Cli(['inspect', '-n', '1'], packageRoot, 'export DISTRI_SIMD=avx')
    .ended;
  assert.equal(status, 5);
  assert.match(stderr, /Expected one of narrow, v3, v4, bf16, amx for DISTRI_SIMD but received "avx"/);
});

test('a library that does not load is a reason, an exit status, and nothing that keeps the rest from being printed', async () => {
  const limits = 'export DISTRI_ORT_LIBRARY=/nowhere/libonnxruntime.so';
  const { status, stdout, stderr } = await new Cli(['inspect'], packageRoot, limits).ended;
  assert.equal(status, 5);
  assert.match(stdout, /usable +no: Could not load the native addon\n +Reason: \/nowhere/);
  assert.match(stdout, /^ +CPU /m);
  assert.match(stdout, /all +no: the native addon is not usable/);
  assert.match(stderr, /Unset DISTRI_ORT_LIBRARY|Possible solutions/);
});
