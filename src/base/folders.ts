import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemErrorCode } from './file-io.js';

/**
 * Makes the folder `path` and what is missing above it; returns what was made, the outermost first. (Node's
 * own recursive mkdir never returns where folders can't be made, as below /proc.)
 */
export async function makeFolders(path: string): Promise<string[]> {
  if (await isFolder(path)) return [];
  const above = await makeFolders(dirname(path));
  try {
    await mkdir(path);
    return [...above, path];
  } catch (error) {
    // Another process was faster.
    if (systemErrorCode(error) === 'EEXIST') return above;
    throw error;
  }
}

/** What is there and no folder is an error. */
async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
  throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR' });
}
