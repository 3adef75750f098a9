import type { DrawOptions } from '../../commands/options/draw.js';
import type { Subject } from '../../families/draw-plan.js';
import type { BenchmarkFigures, Measurements } from '../../jobs/report/benchmark.js';
import type { Preparation } from '../prepare.js';
import { type RecordHeader, type RunRecord, recordHeader, runRecord } from './run-record.js';

/** What `--json` writes of a benchmark; times are seconds, but where a name ends in Ms. */
export interface BenchmarkRecord extends RecordHeader, BenchmarkFigures {
  /** In the order in which they were measured. */
  readonly runs: readonly RunRecord[];
}

export async function benchmarkRecord(
  options: DrawOptions,
  subject: Subject,
  preparation: Preparation,
  measurements: Measurements,
  figures: BenchmarkFigures,
): Promise<BenchmarkRecord> {
  return {
    ...(await recordHeader(options, subject, preparation)),
    ...figures,
    runs: measurements.runs.map(runRecord),
  };
}
