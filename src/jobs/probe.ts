import { type Device, type DeviceChoice, openDevice } from '../engine/device.js';
import type { ExecutableOptions } from '../engine/executable.js';
import { allProbes, PROBE_INPUT, type Probe } from '../planning/probes.js';
import type { ProbeTime, ProfileSetting } from '../planning/profile.js';
import type { RankContext } from '../ranks/rank-context.js';
import { elementCount, float32 } from '../tensor/tensor.js';

/** How each rank computes while it is measured. */
export interface ProbeJob extends Pick<ProfileSetting, 'threads' | 'weights'> {
  readonly device: DeviceChoice;
}

/**
 * Each probe has its turn several times, so that a busy moment of the machine spoils none of them altogether.
 */
const ROUNDS = 4;
const MIN_RUNS = 2;
const MAX_RUNS = 16;
/** Time for a turn after which the probe has been run often enough. */
const TURN_MS = 12;

/** Measures how fast this machine computes, while the rank's peers do the same. */
export async function runProbes(
  { threads, weights, device: choice }: ProbeJob,
  ranks: RankContext,
): Promise<readonly ProbeTime[]> {
  const device = openDevice(choice);
  const communicator = ranks.worldSize > 1 ? await ranks.connect('denoiser', []) : undefined;
  const options = { threads, weights, rank: ranks.rank, communicator };
  const probes = allProbes(device);
  const best = probes.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, probe] of probes.entries()) {
      const time = await takeTurn(device, probe, options);
      best[index] = Math.min(best[index] as number, time);
    }
  }
  communicator?.close();
  return probes.map(({ kind, work, operations }, index) => ({
    kind,
    work,
    seconds: (best[index] as number) / 1000 / operations,
  }));
}

/**
 * Milliseconds of the fastest run: what else the machine does is no property of it. Only one probe is loaded
 * at a time, because the threads of an idle session may still spin.
 */
async function takeTurn(device: Device, probe: Probe, options: ExecutableOptions): Promise<number> {
  const executable = await device.load(probe.part, options);
  const input = float32(probe.input, new Float32Array(elementCount(probe.input)).fill(0.5));
  await options.communicator?.barrier();
  let best = Number.POSITIVE_INFINITY;
  const started = performance.now();
  for (let count = 0; count < MAX_RUNS; count++) {
    if (count >= MIN_RUNS && performance.now() - started > TURN_MS) break;
    const start = performance.now();
    await executable.run({ [PROBE_INPUT]: input });
    best = Math.min(best, performance.now() - start);
  }
  executable.release();
  return best;
}
