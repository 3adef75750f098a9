import { fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import type { BenchModel } from './model.js';
import type { BenchJob, BenchResult } from './rank.js';
import type { StandardJob } from './standard.js';

/** Who takes part in a benchmark: one or more processes with the model loaded and a first step behind them. */
export interface Contestant {
  readonly name: string;
  /** Milliseconds of one step. */
  step(): Promise<number>;
  readonly pids: readonly number[];
  close(): Promise<void>;
}

export async function standardContestant(model: BenchModel, threads: number): Promise<Contestant> {
  const child = fork(new URL('standard.js', import.meta.url));
  const ask = async (job: StandardJob): Promise<number> => {
    const answer = once(child, 'message') as Promise<[number]>;
    child.send(job);
    return (await answer)[0];
  };
  await ask({ type: 'load', model, threads });
  return {
    name: `standard operators, onnxruntime-node, ${threads} threads`,
    step: () => ask({ type: 'step' }),
    pids: [child.pid as number],
    close: async () => {
      child.disconnect();
      await once(child, 'exit');
    },
  };
}

export async function distriContestant(
  model: BenchModel,
  ranks: number,
  threads: number,
  weights: 'shared' | 'private',
  profile?: string,
): Promise<Contestant> {
  const group = await RankGroup.launch<BenchJob, BenchResult>({
    worldSize: ranks,
    entry: new URL('rank.js', import.meta.url),
    cpus:
      ranks === 1 ? undefined : Array.from({ length: ranks }, (_, rank) => [rank % availableParallelism()]),
    timeout: 600_000,
    interruption: new AbortController().signal,
    log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
  });
  const run = async (job: BenchJob) => Math.max(...(await group.run(job, () => {})));
  await run({ type: 'load', model, threads, weights, profile });
  return {
    name: `distri, ${ranks} rank${ranks > 1 ? 's' : ''} x ${threads} thread${threads > 1 ? 's' : ''}`,
    step: () => run({ type: 'step' }),
    pids: group.pids.map((pid) => pid as number),
    close: async () => {
      await run({ type: 'release' });
      await group.close();
    },
  };
}
