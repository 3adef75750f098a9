import { homedir } from 'node:os';
import { join } from 'node:path';
import { DistriError } from './errors.js';
import { fileError } from './file-io.js';
import { makeFolders } from './folders.js';

/** `~` as shells understand it. */
export function expandHome(path: string): string {
  return path.replace(/^~(?=\/|$)/, homedir());
}

/** Where programs keep what they can make again: `$XDG_CACHE_HOME` or `~/.cache`. */
export function userCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  return env.XDG_CACHE_HOME || join(homedir(), '.cache');
}

/** `$DISTRI_CACHE`, or `distri` in the user's cache. */
export function defaultCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  return env.DISTRI_CACHE || join(userCacheDir(env), 'distri');
}

/** Where packed weights are kept, see src/engine/lowered/packed-weights.ts. */
export function packedWeightsDir(cacheDir = defaultCacheDir()): string {
  return join(cacheDir, 'packed-weights');
}

/** Where random weights are kept, a folder for each architecture. */
export function randomWeightsDir(cacheDir = defaultCacheDir()): string {
  return join(cacheDir, 'random-weights');
}

/** Makes a folder of the cache; where that cannot be, the error says what to do. */
export async function makeCacheFolder(folder: string): Promise<void> {
  await makeFolders(folder).catch((error) => {
    const { message } = fileError(error, folder, 'output');
    throw new DistriError('output', `${message}; set DISTRI_CACHE to a folder that can be written`, {
      cause: error,
    });
  });
}
