import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DistriError } from '../../base/errors.js';
import { fileError } from '../../base/file-io.js';
import { nearNames } from '../../base/near-names.js';
import { listNames, quote } from '../../base/quote.js';
import { type CacheEntry, cacheKinds } from './entries.js';

const DAY_MS = 24 * 60 * 60 * 1000;

/** Which entries are meant: those of these names (or all), as far as they are also as the others say. */
export interface Selection {
  /** Of entries, of kinds, or of models; empty for all. */
  readonly names: readonly string[];
  /** Not used for so many days. */
  readonly unusedFor?: number | undefined;
  /** What they were made of is gone. */
  readonly orphaned?: boolean | undefined;
}

/** A name that nothing has is a `usage` error. */
export function selectEntries(
  entries: readonly CacheEntry[],
  { names, unusedFor = 0, orphaned = false }: Selection,
): readonly CacheEntry[] {
  for (const name of names) requireKnown(name, entries);
  const before = Date.now() - unusedFor * DAY_MS;
  return entries.filter(
    (entry) =>
      (names.length === 0 || names.some((name) => isCalled(entry, name))) &&
      (unusedFor === 0 || entry.lastUsed.getTime() < before) &&
      (!orphaned || entry.orphaned),
  );
}

/** Processes that have mapped a file keep what they have. */
export async function removeEntries(folder: string, entries: readonly CacheEntry[]): Promise<void> {
  for (const { name } of entries) {
    const path = join(folder, name);
    await rm(path, { recursive: true, force: true }).catch((error) => {
      throw fileError(error, path, 'output');
    });
  }
}

function isCalled({ name, kind, model }: CacheEntry, given: string): boolean {
  return given === name || given === kind || given === model;
}

function requireKnown(name: string, entries: readonly CacheEntry[]): void {
  if (Object.hasOwn(cacheKinds, name) || entries.some((entry) => isCalled(entry, name))) return;
  const near = nearNames(
    name,
    entries.map((entry) => entry.name),
  );
  const hint = near.length > 0 ? `near names: ${listNames(near)}` : '`distri cache list` shows names';
  throw new DistriError('usage', `the cache has no ${quote(name)}; ${hint}`);
}
