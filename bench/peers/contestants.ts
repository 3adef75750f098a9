import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { DistriPipeline } from '../../src/app/distri-pipeline.js';
import type { DeviceChoice, DtypeName } from '../../src/engine/device.js';
import { availableCpus, shareCpus } from '../../src/machine/cpus.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import type { Contestant } from '../turns.js';
import type { VaeBenchJob } from './vae-rank.js';

/** This file runs as dist/bench/peers/contestants.js. */
const peerScript = fileURLToPath(new URL('../../../bench/peers/peer.py', import.meta.url));

/** Networks that peers know. */
export type PeerNetwork = 'unet' | 'vae';

/** What a peer is started with. */
export interface PeerOptions {
  /** With openvino, torch and diffusers. */
  readonly python: string;
  readonly engine: 'torch' | 'openvino';
  readonly network: PeerNetwork;
  readonly dtype: DtypeName;
  /** The network's, in diffusers' layout. */
  readonly folder: string;
  readonly size: number;
  readonly threads: number;
}

/** A network of diffusers' in another library. */
export async function peerContestant(options: PeerOptions, signal: AbortSignal): Promise<Contestant> {
  const { python, engine, network, dtype, folder, size, threads } = options;
  const peer = spawn(python, [peerScript, engine, network, dtype, folder, String(size), String(threads)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    signal,
  });
  const ended = once(peer, 'exit');
  const gone = ended.then(([status]) => {
    throw new Error(`${engine}'s process ended with status ${status}`);
  });
  // Whoever waits hears of it.
  gone.catch(() => {});
  const lines = createInterface(peer.stdout)[Symbol.asyncIterator]();
  const answer = async () => (await Promise.race([lines.next(), gone])).value as string;
  await answer();
  return {
    name: `${engine}, ${threads} threads, ${dtype}`,
    step: async () => {
      peer.stdin.write('\n');
      return Number(await answer());
    },
    pids: [peer.pid as number],
    close: async () => {
      peer.stdin.end();
      await ended;
    },
  };
}

/** A decoder of distri's on one rank. */
export async function vaeContestant(
  job: Omit<Extract<VaeBenchJob, { type: 'load' }>, 'type'>,
  signal: AbortSignal,
): Promise<Contestant> {
  const { threads, device } = job;
  const group = await RankGroup.launch<VaeBenchJob, number>({
    worldSize: 1,
    entry: new URL('vae-rank.js', import.meta.url),
    cpus: shareCpus(availableCpus(), 1, threads),
    timeout: 600_000,
    interruption: signal,
    log: (_rank, line) => console.error(line),
  });
  const run = async (order: VaeBenchJob) => (await group.run(order, () => {}))[0] as number;
  await run({ type: 'load', ...job });
  return {
    name: nameOf(device, threads),
    step: () => run({ type: 'step' }),
    pids: group.pids.map((pid) => pid as number),
    close: async () => {
      await run({ type: 'release' });
      await group.close();
    },
  };
}

/** A picture of the embedded model on one rank. */
export async function pictureContestant(device: DeviceChoice, threads: number): Promise<Contestant> {
  const { engine, dtype } = device;
  const pipeline = await DistriPipeline.fromPretrained(undefined, { engine, dtype, ranks: 1, threads });
  const draw = async () => {
    const started = performance.now();
    await pipeline({ prompt: 'a red heart', numInferenceSteps: 20, seed: 0 });
    return performance.now() - started;
  };
  await draw();
  return { name: nameOf(device, threads), step: draw, pids: [], close: () => pipeline.dispose() };
}

function nameOf({ engine, dtype }: DeviceChoice, threads: number): string {
  return `distri, ${threads} threads, ${dtype} by ${engine}`;
}
