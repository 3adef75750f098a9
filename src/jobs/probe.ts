/** The program of a rank that measures how fast this machine computes, while its peers do the same. */
import { loadAddon } from '../engine/load.js';
import { Executable, type ExecutableOptions } from '../engine/onnxruntime/executable.js';
import { allProbes, PROBE_INPUT, type Probe } from '../planning/probes.js';
import type { ProbeTime, ProfileJob } from '../planning/profile.js';
import { serveJobs } from '../ranks/serve.js';
import { elementCount, float32 } from '../tensor/tensor.js';

/** Each probe has its turn several times, so that a busy moment of the machine spoils none of them altogether. */
const ROUNDS = 4;
const MIN_RUNS = 2;
const MAX_RUNS = 16;
/** Time for a turn after which the probe has been run often enough. */
const TURN_MS = 12;

serveJobs<ProfileJob, readonly ProbeTime[]>(async ({ threads, weights }, ranks) => {
  const communicator = ranks.worldSize > 1 ? await ranks.connect('denoiser', []) : undefined;
  const options = { threads, weights, rank: ranks.rank, communicator };
  const probes = allProbes();
  const best = probes.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, probe] of probes.entries()) {
      const time = await takeTurn(probe, options);
      best[index] = Math.min(best[index] as number, time);
    }
  }
  communicator?.close();
  return probes.map(({ kind, work, operations }, index) => ({
    kind,
    work,
    seconds: (best[index] as number) / 1000 / operations,
  }));
});

/**
 * Milliseconds of the fastest run: what else the machine does is no property of it. Only one probe is loaded at a time, because the threads of
 * an idle session may still spin.
 */
async function takeTurn(probe: Probe, options: ExecutableOptions): Promise<number> {
  const executable = await Executable.load(loadAddon(), probe.graph, options);
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
