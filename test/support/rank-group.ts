import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type { GenerationJob, JobReport } from '../../src/jobs/draw.js';
import type { GenerationRequest, ParallelOptions } from '../../src/pipelines/request.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';

/** Real rank processes that draw one request after another and return what `--trace` writes. */
export class TracingRanks {
  readonly #group: RankGroup<GenerationJob, JobReport>;
  readonly #folder: string;
  #count = 0;

  private constructor(group: RankGroup<GenerationJob, JobReport>, folder: string) {
    this.#group = group;
    this.#folder = folder;
  }

  static async launch(worldSize: number): Promise<TracingRanks> {
    const group = await RankGroup.launch<GenerationJob, JobReport>({
      worldSize,
      entry: new URL('../../src/jobs/rank.js', import.meta.url),
      cpus: undefined,
      timeout: 60_000,
      interruption: new AbortController().signal,
      log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
    });
    return new TracingRanks(group, await mkdtemp(join(tmpdir(), 'distri-ranks-')));
  }

  async draw(
    directory: string,
    request: GenerationRequest,
    parallel: ParallelOptions,
  ): Promise<SafetensorsFile> {
    const trace = join(this.#folder, `${this.#count++}.safetensors`);
    const load = { directory, variant: undefined, weights: 'shared', threads: 1 } as const;
    const files = { images: [], latents: undefined, trace };
    await this.#group.run({ load, request: { ...request, trace: true }, parallel, files }, () => {});
    return SafetensorsFile.open(trace);
  }

  /** Process ids in rank order. */
  get pids(): readonly number[] {
    return this.#group.pids.map((pid) => pid as number);
  }

  async close(): Promise<void> {
    await this.#group.close();
    await rm(this.#folder, { recursive: true });
  }
}
