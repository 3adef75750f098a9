import type { BenchmarkRecord } from '../../src/app/records/benchmark-record.js';
import { mean } from '../../src/base/numbers.js';

/** Figures of one run; the times are seconds. */
export interface SweepRow {
  readonly ranks: number;
  readonly name: string;
  readonly latency: number;
  /** Median of the kind of steps that long pictures mostly have. */
  readonly step: number;
  /** Of the rank that has most; pages that it shares with others included. */
  readonly peakBytes: number;
  /** What others read of a rank's data in such a step, the mean over ranks. */
  readonly sentBytes: number;
}

export interface Column {
  readonly title: string;
  readonly text: (row: SweepRow) => string;
}

export const columns: readonly Column[] = [
  { title: 'ranks', text: ({ ranks }) => String(ranks) },
  { title: 'strategy', text: ({ name }) => name },
  { title: 'latency, s', text: ({ latency }) => latency.toFixed(2) },
  { title: 'step, ms', text: ({ step }) => (1000 * step).toFixed(0) },
  { title: 'peak memory of a rank, MB', text: ({ peakBytes }) => (peakBytes / 1e6).toFixed(0) },
  { title: 'sent per rank and step, MB', text: ({ sentBytes }) => (sentBytes / 1e6).toFixed(2) },
];

/** Later steps count: the stale ones, where a strategy has them. */
export function sweepRow(
  ranks: number,
  name: string,
  record: Pick<BenchmarkRecord, 'latencySeconds' | 'phases' | 'ranks'>,
): SweepRow {
  const phase = (wanted: string) => record.phases.find((each) => each.phase === wanted)?.median;
  return {
    ranks,
    name,
    latency: record.latencySeconds,
    step: phase('staleStep') ?? phase('synchronousStep') ?? phase('firstStep') ?? Number.NaN,
    peakBytes: Math.max(...record.ranks.map(({ peakMemoryBytes }) => peakMemoryBytes)),
    sentBytes: mean(record.ranks.map(({ exchanges }) => exchanges.at(-1)?.bytesFetched ?? 0)),
  };
}

export function cells(row: SweepRow): string[] {
  return columns.map(({ text }) => text(row));
}

/** RFC 4180. */
export function csvTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const quoted = (cell: string) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return [head, ...rows].map((line) => `${line.map(quoted).join(',')}\r\n`).join('');
}
