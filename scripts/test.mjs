// Builds what is missing and runs the tests: `npm test`, or `npm test -- launcher png` for files whose path contains one of the words.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

/** Tests start rank processes, which need the CPUs themselves. */
const CONCURRENCY = 2;
const FILE_TIMEOUT_MS = 5 * 60 * 1000;

// What tests convert, pack and measure is not the user's.
const cache = mkdtempSync(join(tmpdir(), 'distri-test-cache-'));
process.env.DISTRI_CACHE = cache;
process.on('exit', () => rmSync(cache, { recursive: true, force: true }));

const root = fileURLToPath(new URL('..', import.meta.url));

if (!existsSync(join(root, 'node_modules'))) {
  console.error('distri: the dependencies are not installed; run `npm ci` first');
  process.exit(1);
}
const words = process.argv.slice(2);
const scripts = ['build-native.mjs', 'build-typescript.mjs'];
if (words.length === 0) scripts.push('test-native.mjs');
for (const script of scripts) {
  const { status } = spawnSync(process.execPath, [join(root, 'scripts', script)], { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}

const files = findTests();
if (files.length === 0) {
  console.error('distri: no test file has any of these words in its path');
  process.exit(1);
}
run({ files, concurrency: CONCURRENCY, timeout: FILE_TIMEOUT_MS })
  .on('test:fail', () => {
    process.exitCode = 1;
  })
  .compose(new spec())
  .pipe(process.stdout);

function findTests() {
  const folder = join(root, 'dist', 'test');
  return readdirSync(folder, { recursive: true })
    .filter((path) => path.endsWith('.test.js'))
    .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
    .sort()
    .map((path) => join(folder, path));
}
