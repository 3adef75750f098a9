// Builds the native addon into build/native. Run by `npm install` and `npm run build`; quick when nothing changed.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { compile, configure, root } from './cmake.mjs';

const build = join(root, 'build', 'native');
const install =
  'apt-get install cmake g++ make (Debian, Ubuntu) or dnf install cmake gcc-c++ make (Fedora, RHEL)';

const headers = findHeaders();
// npm runs install scripts under --package-lock-only too, when no dependency is there.
if (headers === undefined) process.exit(0);

// A newer compiler's new warning must not stop an installation.
const strict = `-DDISTRI_STRICT=${root.includes('/node_modules/') ? 'OFF' : 'ON'}`;
// For those who work on strategies: ranks then end as soon as one reads what is not for it, or for too long.
const checks = `-DDISTRI_CHECK_READS=${process.env.DISTRI_CHECK_READS ? 'ON' : 'OFF'}`;
requireTools();
configure(build, ['-DCMAKE_BUILD_TYPE=Release', ...headers, strict, checks], failed);
compile(build, [], failed);

function findHeaders() {
  const require = createRequire(import.meta.url);
  try {
    const api = resolve(require('node-addon-api').include_dir);
    const node = resolve(require('node-api-headers').include_dir);
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

function failed(message) {
  fail(`${message}. It needs a C++17 compiler and make: ${install}.`);
}

function fail(message) {
  console.error(`distri: the native addon was not built: ${message}`);
  process.exit(1);
}
