import type { CacheEntry } from '../../app/cache/entries.js';
import { bytesText, sum } from '../../base/numbers.js';
import { counted } from './summary.js';
import { table } from './table.js';

/** Columns whose cells begin at the left. */
const LEFT = [0, 1, 3, 4];

export function cacheLines(folder: string, entries: readonly CacheEntry[]): string[] {
  const total = bytesText(sum(entries.map(({ bytes }) => bytes)));
  const summary = `${counted(entries.length, 'entry', 'entries')}, ${total} in ${folder}`;
  if (entries.length === 0) return [summary];
  const rows = entries.map((entry) => [
    entry.name,
    entry.kind,
    bytesText(entry.bytes),
    entry.lastUsed.toISOString().slice(0, 10),
    modelText(entry),
  ]);
  return [...table(['name', 'kind', 'size', 'last used', 'made of'], rows, LEFT), '', summary];
}

function modelText({ model = '', orphaned }: CacheEntry): string {
  return orphaned ? `${model} (gone)` : model;
}
