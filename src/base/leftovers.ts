import { readlinkSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemErrorCode } from './file-io.js';

/**
 * The beginning of the name of something in a folder that only this process may remove as long as it runs;
 * afterwards `removeLeftovers` with the same prefix removes it.
 */
export function ownedName(prefix: string): string {
  return `${prefix}-${machine()}-${process.pid}-`;
}

/** Removes what processes that have ended left in `folder` under names with this prefix. */
export async function removeLeftovers(folder: string, prefix: string): Promise<void> {
  const start = `${prefix}-${machine()}-`;
  for (const name of await readdir(folder)) {
    const pid = name.startsWith(start) ? /^\d+(?=-)/.exec(name.slice(start.length))?.[0] : undefined;
    if (pid === undefined || isRunning(Number(pid))) continue;
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Where the numbers of processes mean the same: other hosts and containers may write to the same folder. */
function machine(): string {
  const namespace = /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  return `${hostname()}-${namespace}`;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It runs, but for somebody else.
    return systemErrorCode(error) === 'EPERM';
  }
}
