import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readArchitecture } from '../../src/families/architectures.js';
import { unetModel } from '../../src/models/noise-model.js';
import { readUNet2DConditionConfig } from '../../src/models/unet-2d-condition.js';
import { planTopology } from '../../src/parallel/topology.js';
import type { ParallelOptions, SyncMode } from '../../src/pipelines/request.js';
import { RankProgram } from '../../src/planning/rank-program.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import { packageRoot } from '../e2e/cli.js';
import type { StatisticsJob, StepBytes } from './statistics-rank.js';

const directory = join(packageRoot, 'models', 'tiny-shapes');
const unet = readUNet2DConditionConfig(await readArchitecture('tiny-shapes'));
/** Uneven in both directions. */
const [rows, columns] = [28, 24];
const steps = 4;
const warmupSteps = 1;

function options(parallelism: ParallelOptions['parallelism'], syncMode: SyncMode, splitBatch: boolean) {
  return { parallelism, syncMode, splitBatch, warmupSteps, splitScheme: 'alternate' } as const;
}

const cases: Readonly<Record<number, readonly ParallelOptions[]>> = {
  2: [
    options('patch', 'corrected_async_gn', false),
    options('patch', 'corrected_async_gn', true),
    options('patch', 'full_sync', false),
    options('patch', 'no_sync', false),
    options('tensor', 'full_sync', false),
    options('naive_patch', 'full_sync', false),
  ],
  3: [options('patch', 'stale_gn', false), options('tensor', 'full_sync', false)],
  4: [
    options('patch', 'corrected_async_gn', true),
    options('patch', 'separate_gn', false),
    options('patch', 'sync_gn', false),
    options('tensor', 'full_sync', false),
    options('tensor', 'full_sync', true),
    options('naive_patch', 'full_sync', true),
  ],
};

for (const [ranks, parallels] of Object.entries(cases)) {
  test(`planned bytes are those that the communicators of ${ranks} ranks count`, async () => {
    const group = await RankGroup.launch<StatisticsJob, readonly StepBytes[]>({
      worldSize: Number(ranks),
      entry: new URL('./statistics-rank.js', import.meta.url),
      cpus: undefined,
      timeout: 60_000,
      interruption: new AbortController().signal,
      log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
    });
    try {
      for (const parallel of parallels) {
        const counted = await group.run({ directory, parallel, steps, rows, columns }, () => {});
        assert.deepEqual(counted, plannedBytes(Number(ranks), parallel), JSON.stringify(parallel));
      }
    } finally {
      await group.close();
    }
  });
}

function plannedBytes(ranks: number, parallel: ParallelOptions): StepBytes[][] {
  const topology = planTopology({ worldSize: ranks, guided: true, splitBatch: parallel.splitBatch });
  const image = { model: unetModel(unet), rows, columns, textTokens: 77, images: 1 };
  return topology.roles.map((role) => {
    const program = RankProgram.build(image, topology, role, parallel);
    return Array.from({ length: steps }, (_, call) => {
      const { exchanges } = program.step(call);
      return {
        published: exchanges.reduce((sum, { published }) => sum + published, 0),
        fetched: exchanges.reduce((sum, { fetched }) => sum + fetched, 0),
      };
    });
  });
}
