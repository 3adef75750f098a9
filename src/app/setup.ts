import { expected } from '../base/errors.js';
import type { SimdLevel } from '../engine/addon.js';
import { availableCpus, type Cpus } from '../machine/cpus.js';
import type { Observer } from './observer.js';
import type { SetupOptions } from './options.js';

/** On what a call will run. */
export interface PlanContext {
  readonly observer: Observer;
  /** Aborted when the user wants it to end. */
  readonly signal: AbortSignal;
  /** Of all ranks together; by default those of this process. */
  readonly cpus?: Cpus | undefined;
  /** What kernels are chosen for: it decides what the fastest type is. */
  readonly simdLevel: SimdLevel;
}

/** As many as a control block has room for. */
const MAX_RANKS = 1024;

/** Ranks of one group. */
export function ranksPerGroup({ ranks = defaultRanks(), dataParallel = 1 }: SetupOptions): number {
  return ranks / dataParallel;
}

/** Two ranks share the guidance batch evenly; one CPU has no use for a second. */
export function defaultRanks(): number {
  return availableCpus().count >= 2 ? 2 : 1;
}

/** Threads that each rank computes with, where `cpus` are those of all ranks. */
export function threadsPerRank(
  { threads, ranks = defaultRanks() }: SetupOptions,
  cpus: Cpus = availableCpus(),
): number {
  return threads ?? Math.max(1, Math.floor(cpus.count / ranks));
}

/** Refuses numbers of ranks that there can't be. */
export function checkSetup({
  ranks = defaultRanks(),
  dataParallel = 1,
  threads,
  commTimeout,
}: SetupOptions): void {
  requireInteger(ranks, 'the number of ranks', 1, MAX_RANKS);
  requireInteger(dataParallel, 'the number of groups', 1, MAX_RANKS);
  if (threads !== undefined) requireInteger(threads, 'the number of threads', 1, MAX_RANKS);
  if (commTimeout !== undefined && !(commTimeout >= 1)) {
    throw expected('at least a second', 'the timeout', commTimeout);
  }
  if (ranks % dataParallel !== 0) {
    throw expected(`a divisor of the number of ranks (${ranks})`, 'the number of groups', dataParallel);
  }
}

/** Refuses what is no integer in this range. */
export function requireInteger(value: number, name: string, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw expected(`an integer from ${least} to ${most}`, name, value);
}
