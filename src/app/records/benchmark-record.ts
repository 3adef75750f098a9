import type { BenchmarkFigures, Measurements } from '../../jobs/report/benchmark.js';
import { type RecordHeader, type RunRecord, runRecord } from './run-record.js';

/** What `--json` writes of a benchmark; times are seconds, but where a name ends in Ms. */
export interface BenchmarkRecord extends RecordHeader, BenchmarkFigures {
  /** In the order in which they were measured. */
  readonly runs: readonly RunRecord[];
}

export function benchmarkRecord(
  header: RecordHeader,
  { runs }: Measurements,
  figures: BenchmarkFigures,
): BenchmarkRecord {
  return { ...header, ...figures, runs: runs.map(runRecord) };
}
