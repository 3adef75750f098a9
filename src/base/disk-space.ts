import { statfs } from 'node:fs/promises';
import { DistriError } from './errors.js';

/** Refuses to begin what the disk of `folder` has no room for. `purpose` and `remedy` end up in the message. */
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
      `${folder}: ${purpose} needs ${gigabytes(bytes)}, but ${gigabytes(free)} are free; ${remedy}`,
    );
  }
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(bytes < 1e8 ? 3 : 1)} GB`;
}
