import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where programs keep what they can make again: `$XDG_CACHE_HOME` or `~/.cache`. */
export function userCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  return env.XDG_CACHE_HOME || join(homedir(), '.cache');
}

/** `$DISTRI_CACHE`, or `distri` in the user's cache. */
export function defaultCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  return env.DISTRI_CACHE || join(userCacheDir(env), 'distri');
}
