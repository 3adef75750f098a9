import type { DrawReport } from '../../jobs/draw.js';
import { type RecordHeader, type RunRecord, runRecord } from './run-record.js';

/** A call of the pipeline that has drawn something. */
export interface DrawnCall {
  readonly prompts: readonly string[];
  /** Of the pictures or of the latents. */
  readonly files: readonly string[];
  /** Which of the groups of `--data_parallel` drew it. */
  readonly group: number;
  /** Of all ranks of the group. */
  readonly reports: readonly DrawReport[];
}

/** What `--json` writes where pictures are drawn; times are seconds, but where a name ends in Ms. */
export interface GenerationRecord extends RecordHeader {
  /** In the order of the prompts. */
  readonly runs: readonly (Omit<DrawnCall, 'reports'> & RunRecord)[];
}

export function generationRecord(header: RecordHeader, calls: readonly DrawnCall[]): GenerationRecord {
  return { ...header, runs: calls.map(({ reports, ...call }) => ({ ...call, ...runRecord(reports) })) };
}
