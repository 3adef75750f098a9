// Builds the native addon into build/native. Run by `npm install` and `npm run build`; quick when nothing changed.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'native');
const build = join(root, 'build', 'native');
const install =
  'apt-get install cmake g++ make (Debian, Ubuntu) or dnf install cmake gcc-c++ make (Fedora, RHEL)';

const headers = findHeaders();
// npm runs install scripts under --package-lock-only too, when no dependency is there.
if (headers === undefined) process.exit(0);

requireTools();
configure();
run(['--build', build, '--parallel', String(availableParallelism())], 'compile');

function findHeaders() {
  const require = createRequire(import.meta.url);
  try {
    const api = require('node-addon-api').include_dir;
    const node = require('node-api-headers').include_dir;
    return [`-DDISTRI_NODE_ADDON_API=${api}`, `-DDISTRI_NODE_API_HEADERS=${node}`];
  } catch {
    return undefined;
  }
}

function requireTools() {
  const compilers = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
  const missing = [];
  if (!exists('cmake')) missing.push('cmake');
  if (!compilers.some(exists)) missing.push(`a C++17 compiler (${compilers.join(', ')})`);
  if (missing.length > 0) {
    fail(`${missing.join(' and ')} not found. Install with ${install}, then run \`npm run build\`.`);
  }
}

function exists(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
}

function configure() {
  const cache = join(build, 'CMakeCache.txt');
  if (existsSync(cache)) {
    const text = readFileSync(cache, 'utf8');
    // CMake refuses a cache that was made for another folder, as after moving the checkout.
    if (!text.includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${source}\n`)) rmSync(build, { recursive: true });
    else if (headers.every((option) => text.includes(option.slice(2).replace('=', ':PATH=')))) return;
  }
  run(['-S', source, '-B', build, '-DCMAKE_BUILD_TYPE=Release', ...headers], 'configure');
}

function run(args, what) {
  const { status, stdout, stderr } = spawnSync('cmake', args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status === 0) return;
  process.stderr.write(stdout + stderr);
  fail(`cmake could not ${what} it, see above. It needs a C++17 compiler and make: ${install}.`);
}

function fail(message) {
  console.error(`distri: the native addon was not built: ${message}`);
  process.exit(1);
}
