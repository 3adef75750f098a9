/** The program of a rank that measures how fast this machine computes, while its peers do the same. */
import type { Communicator } from '../native/addon.js';
import { loadAddon } from '../native/load.js';
import { Executable, type ExecutableOptions } from '../runtime/executable.js';
import { serveJobs } from '../runtime/serve.js';
import { elementCount, float32 } from '../tensor/tensor.js';
import { allProbes, PROBE_INPUT, type Probe } from './probes.js';
import type { ProbeTime, ProfileJob } from './profile.js';

const MIN_RUNS = 5;
const MAX_RUNS = 50;
/** Time for a probe after which it has been run often enough. */
const PROBE_MS = 40;

serveJobs<ProfileJob, readonly ProbeTime[]>(async ({ threads, weights }, ranks) => {
  const communicator = ranks.worldSize > 1 ? await ranks.connect([]) : undefined;
  const options = { threads, weights, rank: ranks.rank, communicator: undefined };
  const times: ProbeTime[] = [];
  for (const probe of allProbes()) times.push(await measure(probe, options, communicator));
  communicator?.close();
  return times;
});

/** The fastest of some runs: what else the machine does is no property of it. */
async function measure(
  probe: Probe,
  options: ExecutableOptions,
  communicator: Communicator | undefined,
): Promise<ProbeTime> {
  const executable = await Executable.load(loadAddon(), probe.graph, options);
  const input = float32(probe.input, new Float32Array(elementCount(probe.input)).fill(0.5));
  const run = async () => {
    const start = performance.now();
    await executable.run({ [PROBE_INPUT]: input });
    return performance.now() - start;
  };
  await run();
  await communicator?.barrier();
  let best = Number.POSITIVE_INFINITY;
  const started = performance.now();
  for (let count = 0; count < MAX_RUNS; count++) {
    if (count >= MIN_RUNS && performance.now() - started > PROBE_MS) break;
    best = Math.min(best, await run());
  }
  executable.release();
  return { kind: probe.kind, work: probe.work, seconds: best / 1000 / probe.operations };
}
