import type { BenchmarkFigures, Measurements } from '../report/benchmark.js';
import { type RecordHeader, type RunRecord, recordHeader, runRecord } from './run-record.js';
import type { SdxlOptions } from './sdxl-options.js';
import type { Subject } from './sdxl-plan.js';
import type { SdxlPreparation } from './sdxl-ranks.js';

/** What `--json` writes of a benchmark; times are seconds, but where a name ends in Ms. */
export interface BenchmarkRecord extends RecordHeader, BenchmarkFigures {
  /** In the order in which they were measured. */
  readonly runs: readonly RunRecord[];
}

export async function benchmarkRecord(
  options: SdxlOptions,
  subject: Subject,
  preparation: SdxlPreparation,
  measurements: Measurements,
  figures: BenchmarkFigures,
): Promise<BenchmarkRecord> {
  return {
    ...(await recordHeader(options, subject, preparation)),
    ...figures,
    runs: measurements.runs.map(runRecord),
  };
}
