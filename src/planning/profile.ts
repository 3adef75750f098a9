import type { ComputeKind } from '../graph/passes/cost.js';
import { availableCpus, shareCpus } from '../machine/cpus.js';
import type { WeightsMode } from '../machine/memory.js';
import { RankGroup } from '../ranks/group/rank-group.js';
import { type GatherFigures, measureExchange } from './exchange-figures.js';

/** Under what a profile is measured: ranks at the same time, as many threads each. */
export interface ProfileSetting {
  readonly ranks: number;
  readonly threads: number;
  readonly weights: WeightsMode;
}

export type ProfileJob = Pick<ProfileSetting, 'threads' | 'weights'>;

/** How long an operation of a kind takes for its amount of work: multiply-accumulates, or bytes where the kind is `other`. */
export interface ProbeTime {
  readonly kind: ComputeKind;
  readonly work: number;
  readonly seconds: number;
}

/** What was measured of this machine under one setting. */
export interface MachineProfile {
  readonly setting: ProfileSetting;
  /** On the slowest rank, from small to large within each kind. */
  readonly probes: readonly ProbeTime[];
  /** All-gathers between the ranks; none for one rank. */
  readonly gathers: readonly GatherFigures[];
  /** Seconds of a barrier, 0 for one rank. */
  readonly barrier: number;
}

const TIMEOUT_MS = 60_000;
const gatheredBytes = [1024, 65_536, 1_048_576, 16_777_216];

/** Measures for a second or two. */
export async function measureProfile(
  setting: ProfileSetting,
  interruption: AbortSignal,
): Promise<MachineProfile> {
  const probes = await measureProbes(setting, interruption);
  if (setting.ranks === 1) return { setting, probes, gathers: [], barrier: 0 };
  const { gathers, barrier } = await measureExchange(setting.ranks, gatheredBytes, interruption);
  return { setting, probes, gathers, barrier: barrier.p50 / 1e6 };
}

async function measureProbes(
  { ranks, threads, weights }: ProfileSetting,
  interruption: AbortSignal,
): Promise<ProbeTime[]> {
  const group = await RankGroup.launch<ProfileJob, readonly ProbeTime[]>({
    worldSize: ranks,
    entry: new URL('../jobs/probe.js', import.meta.url),
    cpus: shareCpus(availableCpus(), ranks, threads),
    timeout: TIMEOUT_MS,
    interruption,
    log: () => {},
  });
  try {
    const [first = [], ...others] = await group.run({ threads, weights }, () => {});
    const turns = ranksPerCpu(ranks, threads);
    return first.map((probe, index) => {
      const slowest = Math.max(probe.seconds, ...others.map((times) => (times[index] as ProbeTime).seconds));
      return { ...probe, seconds: turns * slowest };
    });
  } finally {
    await group.close();
  }
}

/** Ranks that share a CPU take turns, which the fastest of several short runs does not show. */
function ranksPerCpu(ranks: number, threads: number): number {
  const { count } = availableCpus();
  return Math.max(1, (ranks * Math.min(threads, count)) / count);
}
