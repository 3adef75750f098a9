import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { type DeviceChoice, referenceDevice } from '../../src/engine/device.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { familyOf } from '../../src/families/registry.js';
import { type NamedJob, type Ranks, rankEntry, runJob } from '../../src/jobs/jobs.js';
import type { ParallelOptions } from '../../src/parallel/registry.js';
import type { GenerationRequest } from '../../src/pipelines/request.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import { loadOf } from './requests.js';

/** Real rank processes, as the program starts them. */
export function launchRanks(worldSize: number, entry = rankEntry): Promise<Ranks> {
  return RankGroup.launch<NamedJob, unknown>(groupOptions(worldSize, entry));
}

/** Of ranks that run anywhere and say what they print. */
export function groupOptions(worldSize: number, entry: URL): Parameters<typeof RankGroup.launch>[0] {
  return {
    worldSize,
    entry,
    cpus: undefined,
    timeout: 60_000,
    interruption: new AbortController().signal,
    log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
  };
}

/** Ranks that draw one request after another and return what `--trace` writes. */
export class TracingRanks {
  readonly #group: Ranks;
  readonly #folder: string;
  #count = 0;

  private constructor(group: Ranks, folder: string) {
    this.#group = group;
    this.#folder = folder;
  }

  static async launch(worldSize: number): Promise<TracingRanks> {
    return new TracingRanks(await launchRanks(worldSize), await mkdtemp(join(tmpdir(), 'distri-ranks-')));
  }

  async draw(
    directory: string,
    request: GenerationRequest,
    parallel: ParallelOptions,
    device: DeviceChoice = referenceDevice,
  ): Promise<SafetensorsFile> {
    const trace = join(this.#folder, `${this.#count++}.safetensors`);
    await runJob(this.#group, 'draw', {
      load: { ...loadOf(familyOf(await openCheckpoint(directory)).name, directory), device },
      request: { ...request, trace: true },
      parallel,
      results: { kind: 'files', images: [], latents: undefined, trace },
    });
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
