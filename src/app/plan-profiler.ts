import { packageVersion } from '../base/package.js';
import type { Terminal } from '../commands/output/terminal.js';
import { probeAddon } from '../engine/load.js';
import type { Profiler } from '../planning/plan.js';
import { ProfileCache, profileKey } from '../planning/profile-cache.js';

/** Measures this machine where that was not done before, and says so, because it takes seconds. */
export async function machineProfiler(
  remeasure: boolean,
  terminal: Terminal,
  interruption: AbortSignal,
): Promise<Profiler> {
  const { version } = await probeAddon();
  const key = profileKey({ distri: packageVersion(), onnxRuntime: version });
  const cache = await ProfileCache.open(key, remeasure);
  return (setting) => {
    const { ranks, threads } = setting;
    if (!cache.has(setting)) terminal.note(`measuring this machine: ${ranks} x ${threads} threads`);
    return cache.get(setting, interruption);
  };
}
