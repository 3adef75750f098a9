import { availableCpus } from '../../machine/cpus.js';
import type { FromRank, ToRank } from '../messages.js';
import type { RunMemory } from '../run-memory.js';

/** The first thing that a process tells the first rank of its job. */
export interface Hello {
  readonly type: 'hello';
  readonly rank: number;
  readonly pid: number;
  /** CPUs that the process may use. */
  readonly cpus: readonly number[];
}

/** What this process says of itself. */
export function hello(rank: number): Hello {
  return { type: 'hello', rank, pid: process.pid, cpus: availableCpus().ids };
}

/** What the first rank tells the others. */
export type ToJoined<Job> =
  | (Extract<ToRank<Job>, { type: 'start' }> & {
      /** The first rank's process, and its descriptors. */
      readonly pid: number;
      readonly memory: RunMemory;
    })
  | Extract<ToRank<Job>, { type: 'job' }>
  /** Nothing more will come: end with this exit status. */
  | { readonly type: 'end'; readonly status: number };

export type FromJoined<Result> = Hello | FromRank<Result>;
