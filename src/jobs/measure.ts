import { loadavg } from 'node:os';
import { availableCpus, shareCpus } from '../machine/cpus.js';
import { type ExchangeFigures, summarize } from '../machine/exchange-figures.js';
import type { MachineProfile, ProbeTime, ProfileSetting } from '../planning/profile.js';
import { RankGroup } from '../ranks/group/rank-group.js';
import { type NamedJob, type Ranks, rankEntry, runJob } from './jobs.js';

const TIMEOUT_MS = 60_000;
const gatheredBytes = [1024, 65_536, 1_048_576, 16_777_216];

/** Measures a machine under a setting, for a second or two. */
export async function measureProfile(
  setting: ProfileSetting,
  interruption: AbortSignal,
): Promise<MachineProfile> {
  const measured = { time: new Date().toISOString(), load: loadavg()[0] as number };
  const probes = await measureProbes(setting, interruption);
  if (setting.ranks === 1) return { setting, measured, probes, gathers: [], barrier: 0 };
  const { gathers, barrier } = await measureExchange(setting.ranks, gatheredBytes, interruption);
  return { setting, measured, probes, gathers, barrier: barrier.p50 / 1e6 };
}

/** Measures shared memory between `ranks` processes, at least two of them, placed as those of a run. */
export function measureExchange(
  ranks: number,
  gatherBytes: readonly number[],
  interruption: AbortSignal,
): Promise<ExchangeFigures> {
  return withRanks(ranks, 1, interruption, async (group) =>
    summarize(await runJob(group, 'exchange', { gatherBytes }), gatherBytes),
  );
}

function measureProbes(
  { ranks, threads, weights, device }: ProfileSetting,
  interruption: AbortSignal,
): Promise<ProbeTime[]> {
  return withRanks(ranks, threads, interruption, async (group) => {
    const [first = [], ...others] = await runJob(group, 'probe', { threads, weights, device });
    const turns = ranksPerCpu(ranks, threads);
    return first.map((probe, index) => {
      const slowest = Math.max(probe.seconds, ...others.map((times) => (times[index] as ProbeTime).seconds));
      return { ...probe, seconds: turns * slowest };
    });
  });
}

async function withRanks<T>(
  worldSize: number,
  threads: number,
  interruption: AbortSignal,
  use: (group: Ranks) => Promise<T>,
): Promise<T> {
  const group = await RankGroup.launch<NamedJob, unknown>({
    worldSize,
    entry: rankEntry,
    cpus: shareCpus(availableCpus(), worldSize, threads),
    timeout: TIMEOUT_MS,
    interruption,
    log: () => {},
  });
  try {
    return await use(group);
  } finally {
    await group.close();
  }
}

/** Ranks that share a CPU take turns, which the fastest of several short runs does not show. */
function ranksPerCpu(ranks: number, threads: number): number {
  const { count } = availableCpus();
  return Math.max(1, (ranks * Math.min(threads, count)) / count);
}
