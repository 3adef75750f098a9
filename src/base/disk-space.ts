import { statfs } from 'node:fs/promises';
import { DistriError } from './errors.js';
import { bytesText } from './numbers.js';

/**
 * Refuses to begin what the disk of `folder` has no room for. `purpose` and `remedy` end up in the message.
 */
export async function requireSpace(
  folder: string,
  bytes: number,
  purpose: string,
  remedy: string,
): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < bytes) {
    throw new DistriError(
      'output',
      `${folder}: ${purpose} needs ${bytesText(bytes)}, but ${bytesText(free)} are free; ${remedy}`,
    );
  }
}
