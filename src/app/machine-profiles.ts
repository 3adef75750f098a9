import { packageVersion } from '../base/package.js';
import { deviceText } from '../engine/device.js';
import { probeAddon } from '../engine/load.js';
import { measureProfile } from '../jobs/measure.js';
import type { MeasureProfile } from '../planning/profile.js';
import { ProfileCache, profileKey } from '../planning/profile-cache.js';
import type { Observer } from './observer.js';

/**
 * Figures of this machine: what was measured before, or else measured now, which it says, because it takes
 * seconds.
 */
export async function machineProfiles(
  remeasure: boolean,
  observer: Observer,
  signal: AbortSignal,
): Promise<MeasureProfile> {
  const { version } = await probeAddon();
  const key = profileKey({ distri: packageVersion(), onnxRuntime: version });
  const cache = await ProfileCache.open(key, remeasure);
  return (setting) => {
    const { ranks, threads, device } = setting;
    if (!cache.has(setting)) {
      observer.note(`measuring this machine: ${ranks} x ${threads} threads, ${deviceText(device)}`);
    }
    return cache.get(setting, (asked) => measureProfile(asked, signal));
  };
}
