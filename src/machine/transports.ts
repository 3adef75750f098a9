import { closeSync } from 'node:fs';
import { toError } from '../base/errors.js';
import { loadAddon } from '../engine/load.js';

/** A way for ranks to exchange data. */
export interface Transport {
  readonly name: 'shm' | 'mpi' | 'nccl';
  readonly available: boolean;
  /** What it serves for, or what is missing. */
  readonly reason: string;
}

/** `addonFailure` says why the native addon can't be used, undefined where it can. */
export function describeTransports(addonFailure: string | undefined): Transport[] {
  const problem = addonFailure === undefined ? sharedMemoryProblem() : 'the native addon is not usable';
  return [
    {
      name: 'shm',
      available: problem === undefined,
      reason: problem ?? 'ranks on one host, through memory files (memfd) and futexes',
    },
    {
      name: 'mpi',
      available: false,
      reason: 'not built into this version, which has no code for several hosts',
    },
    {
      name: 'nccl',
      available: false,
      reason: 'not built into this version, which has no code for GPUs',
    },
  ];
}

function sharedMemoryProblem(): string | undefined {
  try {
    closeSync(loadAddon().createSharedMemory('distri-inspect'));
    return undefined;
  } catch (error) {
    return toError(error).message;
  }
}
