// What building the addon and building its tests share.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'native');

/** Configures native/ in the folder `build`; `failed` is called with what went wrong. */
export function configure(build, options, failed) {
  removeForeignCache(build);
  cmake(['-S', source, '-B', build, ...options], 'configure', failed);
}

/** Compiles these targets, by default all. */
export function compile(build, targets, failed) {
  const named = targets.flatMap((name) => ['--target', name]);
  cmake(['--build', build, '--parallel', String(availableParallelism()), ...named], 'compile', failed);
}

/** CMake refuses a cache that was made for another folder, as after moving the checkout. */
function removeForeignCache(build) {
  const cache = join(build, 'CMakeCache.txt');
  if (!existsSync(cache)) return;
  if (readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${source}\n`)) return;
  rmSync(build, { recursive: true });
}

function cmake(args, what, failed) {
  const { status, stdout, stderr, error } = spawnSync('cmake', args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status === 0) return;
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`);
  failed(`cmake could not ${what} it${error ? `: ${error.message}` : ', see above'}`);
}
