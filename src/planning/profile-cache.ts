import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultCacheDir } from '../base/cache-dir.js';
import { writeAtomically, writeExactly } from '../base/file-io.js';
import { makeFolders } from '../base/folders.js';
import { isJsonObject } from '../base/json.js';
import { availableCpus } from '../machine/cpus.js';
import { cpuModel } from '../machine/machine.js';
import type { MachineProfile, MeasureProfile, ProfileSetting } from './profile.js';

/** Raised when other things are measured, so that older caches are not used. */
const MEASUREMENT = 2;

const HASH_DIGITS = 16;

/** Whether a file of the cache that is called so has profiles. */
export function isProfileName(name: string): boolean {
  return /^machine-[0-9a-f]{16}\.json$/.test(name);
}

/** What a profile is valid for. */
export interface ProfileKey {
  readonly cpuModel: string;
  readonly usableCpus: number;
  readonly distri: string;
  readonly onnxRuntime: string;
}

export function profileKey(versions: Pick<ProfileKey, 'distri' | 'onnxRuntime'>): ProfileKey {
  const { distri, onnxRuntime } = versions;
  return { cpuModel: cpuModel(), usableCpus: availableCpus().count, distri, onnxRuntime };
}

/** Profiles of this machine, each measured once and kept in the cache's folder. */
export class ProfileCache {
  private constructor(
    private readonly folder: string,
    private readonly path: string,
    private readonly profiles: Map<string, MachineProfile>,
  ) {}

  /** With `remeasure` nothing that was measured before is used. */
  static async open(
    key: ProfileKey,
    remeasure: boolean,
    folder: string = defaultCacheDir(),
  ): Promise<ProfileCache> {
    const hash = createHash('sha256')
      .update(JSON.stringify({ MEASUREMENT, ...key }))
      .digest('hex');
    const path = join(folder, `machine-${hash.slice(0, HASH_DIGITS)}.json`);
    return new ProfileCache(folder, path, remeasure ? new Map() : await readProfiles(path));
  }

  /** True for what `get` need not measure. */
  has(setting: ProfileSetting): boolean {
    return this.profiles.has(nameOf(setting));
  }

  /** What is known, or what `measure` finds and is known from now on. */
  async get(setting: ProfileSetting, measure: MeasureProfile): Promise<MachineProfile> {
    const name = nameOf(setting);
    const known = this.profiles.get(name);
    if (known) return known;
    const profile = await measure(setting);
    this.profiles.set(name, profile);
    await this.save();
    return profile;
  }

  private async save(): Promise<void> {
    const text = JSON.stringify(Object.fromEntries(this.profiles));
    try {
      await makeFolders(this.folder);
      await writeAtomically(this.path, (handle) => writeExactly(handle, Buffer.from(text), 0));
    } catch {
      // Measured again by the next process.
    }
  }
}

function nameOf({ ranks, threads, weights, device }: ProfileSetting): string {
  return [`${ranks}x${threads}`, weights, ...Object.values(device)].join(' ');
}

async function readProfiles(path: string): Promise<Map<string, MachineProfile>> {
  try {
    const stored: unknown = JSON.parse(await readFile(path, 'utf8'));
    const profiles = isJsonObject(stored) ? Object.entries(stored) : [];
    return new Map(profiles.filter((entry): entry is [string, MachineProfile] => isProfile(entry[1])));
  } catch {
    // Absent or cut short: measured anew.
    return new Map();
  }
}

/** Whether something that was read has the figures of a profile; what has not is measured anew. */
function isProfile(value: unknown): value is MachineProfile {
  if (!isJsonObject(value)) return false;
  const { measured, probes, gathers, barrier } = value;
  return (
    isJsonObject(measured) &&
    typeof measured.time === 'string' &&
    Number.isFinite(measured.load) &&
    Number.isFinite(barrier) &&
    isListOf(probes, ['work', 'seconds']) &&
    isListOf(gathers, ['bytes', 'time'])
  );
}

function isListOf(value: unknown, numbers: readonly string[]): boolean {
  if (!Array.isArray(value)) return false;
  return value.every((item) => isJsonObject(item) && numbers.every((name) => Number.isFinite(item[name])));
}
