import { fork } from 'node:child_process';
import { once } from 'node:events';
import { type DeviceChoice, deviceText, referenceDevice } from '../../src/engine/device.js';
import { availableCpus, shareCpus } from '../../src/machine/cpus.js';
import type { WeightsMode } from '../../src/machine/memory.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import type { Contestant } from '../turns.js';
import type { BenchModel } from './model.js';
import type { BenchJob, BenchResult } from './rank.js';
import type { StandardJob } from './standard.js';

/** The model in standard ONNX operators in onnxruntime-node. */
export async function standardContestant(model: BenchModel, threads: number): Promise<Contestant> {
  const child = fork(new URL('standard.js', import.meta.url));
  const ended = once(child, 'exit');
  const ask = async (job: StandardJob): Promise<number> => {
    const answer = once(child, 'message') as Promise<[number]>;
    child.send(job);
    const gone = ended.then(([status]) => {
      throw new Error(`onnxruntime-node's process ended with status ${status}`);
    });
    return (await Promise.race([answer, gone]))[0];
  };
  await ask({ type: 'load', model, threads });
  return {
    name: `standard operators, onnxruntime-node, ${counted(threads, 'thread')}`,
    step: () => ask({ type: 'step' }),
    pids: [child.pid as number],
    close: async () => {
      child.disconnect();
      await ended;
    },
  };
}

export interface DistriOptions {
  /** Each rank writes its engine's profile of its steps to a file that begins so. */
  readonly profile?: string;
  readonly device?: DeviceChoice;
  /** Ends the ranks. */
  readonly signal?: AbortSignal;
}

export async function distriContestant(
  model: BenchModel,
  ranks: number,
  threads: number,
  weights: WeightsMode,
  { profile, device = referenceDevice, signal = new AbortController().signal }: DistriOptions = {},
): Promise<Contestant> {
  const group = await RankGroup.launch<BenchJob, BenchResult>({
    worldSize: ranks,
    entry: new URL('rank.js', import.meta.url),
    cpus: shareCpus(availableCpus(), ranks, threads),
    timeout: 600_000,
    interruption: signal,
    log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
  });
  const run = async (job: BenchJob) => Math.max(...(await group.run(job, () => {})));
  try {
    await run({ type: 'load', model, threads, weights, device, profile });
  } catch (error) {
    await group.close();
    throw error;
  }
  return {
    name: `distri, ${counted(ranks, 'rank')} x ${counted(threads, 'thread')}, ${deviceText(device)}`,
    step: () => run({ type: 'step' }),
    pids: group.pids.map((pid) => pid as number),
    close: async () => {
      await run({ type: 'release' });
      await group.close();
    },
  };
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
