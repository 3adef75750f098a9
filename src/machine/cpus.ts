import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { splitRows } from '../base/split.js';

/** What this process may use of the machine's processors. */
export interface Cpus {
  /** Numbers of the CPUs it may run on. */
  readonly ids: readonly number[];
  /**
   * How many it can keep busy: fewer than `ids` where a control group limits its time (`docker run --cpus
   * 2`).
   */
  readonly count: number;
}

export function availableCpus(): Cpus {
  const allowed = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  const ids = parseCpuList(allowed ?? '');
  const count = Math.min(ids.length || availableParallelism(), cpuQuota() ?? Number.POSITIVE_INFINITY);
  return { ids, count };
}

/** What processes that may use `own` and `others` can use together; a limit in time holds for all of them. */
export function uniteCpus(own: Cpus, others: readonly (readonly number[])[]): Cpus {
  const ids = [...new Set([own.ids, ...others].flat())].sort((a, b) => a - b);
  const limited = own.count < own.ids.length;
  return { ids, count: limited ? own.count : Math.max(own.count, ids.length) };
}

/** `0-2,8` as [0, 1, 2, 8]; the kernel's notation. */
export function parseCpuList(list: string): number[] {
  return list
    .split(',')
    .filter((range) => range !== '')
    .flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/**
 * The CPUs of each rank: neighbours, all used, none shared. Undefined where that would hurt: fewer CPUs than
 * ranks, more threads than a rank's CPUs, or a limit in time instead of in CPUs. The kernel then spreads the
 * threads better.
 */
export function shareCpus(cpus: Cpus, ranks: number, threads: number): number[][] | undefined {
  if (ranks * threads > cpus.ids.length || cpus.count < cpus.ids.length) return undefined;
  const bounds = splitRows(cpus.ids.length, ranks);
  return Array.from({ length: ranks }, (_, rank) => cpus.ids.slice(bounds[rank], bounds[rank + 1]));
}

/**
 * Whole CPUs' worth of time that the control group (version 2, then 1) allows, at least 1; undefined without
 * a limit.
 */
function cpuQuota(): number | undefined {
  const [quota, period] = readWords('/sys/fs/cgroup/cpu.max') ?? [
    ...(readWords('/sys/fs/cgroup/cpu/cpu.cfs_quota_us') ?? []),
    ...(readWords('/sys/fs/cgroup/cpu/cpu.cfs_period_us') ?? []),
  ];
  const limit = Number(quota) / Number(period);
  return limit > 0 ? Math.max(1, Math.floor(limit)) : undefined;
}

function readWords(path: string): string[] | undefined {
  try {
    return readFileSync(path, 'utf8').trim().split(/\s+/);
  } catch {
    return undefined;
  }
}
