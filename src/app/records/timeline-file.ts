import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileError } from '../../base/file-io.js';
import { Staging } from '../../base/staging.js';
import { describeRanks } from '../../commands/output/summary.js';
import type { JobReport } from '../../jobs/draw.js';
import { chromeTrace } from '../../jobs/observe/timeline.js';
import type { Parallelism } from '../../parallel/strategy.js';
import type { Topology } from '../../parallel/topology.js';

/** The file of `--timeline`: checked before anything expensive, seen by others when it is complete. */
export class TimelineFile {
  private constructor(
    readonly path: string,
    private readonly staging: Staging,
    private readonly staged: string,
  ) {}

  static async prepare(path: string): Promise<TimelineFile> {
    const target = resolve(path);
    const staging = new Staging();
    return new TimelineFile(target, staging, await staging.add(target));
  }

  /** What the ranks of one call of a pipeline did. */
  async write(
    reports: readonly JobReport[],
    topology: Topology,
    parallelism: Pick<Parallelism, 'describe'>,
  ): Promise<void> {
    const spans = reports.map(({ timeline = [] }) => timeline);
    const trace = chromeTrace(spans, describeRanks(topology, parallelism));
    try {
      await writeFile(this.staged, `${JSON.stringify(trace)}\n`);
    } catch (error) {
      throw fileError(error, this.path, 'output');
    }
    await this.staging.commit();
  }

  discard(): Promise<void> {
    return this.staging.discard();
  }
}
