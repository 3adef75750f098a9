import { existsSync, readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { dirname, join } from 'node:path';
import { bytesText } from '../base/numbers.js';

/** One copy of the weights for all ranks, in the page cache, or a repacked one for each. */
export type WeightsMode = 'shared' | 'private';

/** How the ranks hold their weights, and why, for people. */
export interface WeightsPlan {
  readonly mode: WeightsMode;
  readonly reason: string;
}

/**
 * Repacking takes the copy and, for a moment while a session is built, a little more than the weights again
 * (measured: 2.2 times).
 */
const PRIVATE_COPY_FACTOR = 2.2;
/** The rest stays free for activations and for others. */
const USABLE_SHARE = 0.8;

/**
 * Private copies are faster, a shared copy is small. `weightBytes` is what all ranks together hold in float32
 * when each has its own.
 */
export function planWeights(weightBytes: number, available = availableMemory()): WeightsPlan {
  const needed = PRIVATE_COPY_FACTOR * weightBytes;
  const fits = needed <= USABLE_SHARE * available;
  const reason = `a copy per rank takes up to ${bytesText(needed)}, ${bytesText(available)} of memory are free`;
  return { mode: fits ? 'private' : 'shared', reason };
}

/** Whole bytes that can be allocated without swapping: what the machine has and what control groups allow. */
export function availableMemory(root = '/'): number {
  const meminfo = readText(join(root, 'proc/meminfo'));
  const kilobytes = /^MemAvailable:\s+(\d+) kB/m.exec(meminfo ?? '')?.[1];
  const machine = kilobytes === undefined ? freemem() : Number(kilobytes) * 1024;
  return Math.min(machine, ...controlGroupHeadrooms(root));
}

/** What is left below the limit of this process's control group and of every group around it. */
function controlGroupHeadrooms(root: string): number[] {
  const groups = readText(join(root, 'proc/self/cgroup')) ?? '';
  const unified = /^0::(.*)$/m.exec(groups)?.[1];
  const legacy = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(groups)?.[1];
  return [
    ...headrooms(join(root, 'sys/fs/cgroup'), unified, ['memory.max', 'memory.current', 'inactive_file']),
    ...headrooms(join(root, 'sys/fs/cgroup/memory'), legacy, [
      'memory.limit_in_bytes',
      'memory.usage_in_bytes',
      'total_inactive_file',
    ]),
  ];
}

type GroupFiles = readonly [limit: string, usage: string, reclaimable: string];

function headrooms(mount: string, group: string | undefined, files: GroupFiles): number[] {
  if (group === undefined) return [];
  // A container may see its path on the host in /proc but only its own group below /sys; the mount itself is
  // that group then.
  const start = existsSync(join(mount, group)) ? join(mount, group) : mount;
  const found: number[] = [];
  for (let folder = start; folder.startsWith(mount); folder = dirname(folder)) {
    const headroom = groupHeadroom(folder, files);
    if (headroom !== undefined) found.push(headroom);
  }
  return found;
}

function groupHeadroom(folder: string, [limitFile, usageFile, reclaimable]: GroupFiles): number | undefined {
  const limit = Number.parseInt(readText(join(folder, limitFile)) ?? '', 10);
  const usage = Number.parseInt(readText(join(folder, usageFile)) ?? '', 10);
  if (Number.isNaN(limit) || Number.isNaN(usage)) return undefined;
  const statistics = readText(join(folder, 'memory.stat')) ?? '';
  const cache = Number(new RegExp(`^${reclaimable} (\\d+)`, 'm').exec(statistics)?.[1] ?? 0);
  return Math.max(0, limit - usage + cache);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
