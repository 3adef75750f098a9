import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sum } from '../../src/base/numbers.js';
import { embeddedModel } from '../../src/base/package.js';
import { type ParallelOptions, strategies, strategyNames } from '../../src/parallel/registry.js';
import { type SyncMode, syncModeNames } from '../../src/parallel/sync-modes.js';
import { planTopology } from '../../src/parallel/topology.js';
import { RankProgram } from '../../src/planning/rank-program.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import { plannedPicture } from '../support/planned.js';
import { groupOptions } from '../support/rank-group.js';
import { parallelOf } from '../support/requests.js';
import type { StatisticsJob, StepBytes } from './statistics-rank.js';

const directory = embeddedModel;
/** Uneven in both directions. */
const [rows, columns] = [28, 24];
const steps = 4;
const warmupSteps = 1;

const image = await plannedPicture('tiny-shapes', { rows, columns });

/** Every strategy of a UNet, displaced patches in every mode, and how the batch of the guidance is split. */
function waysOf(ranks: number): readonly ParallelOptions[] {
  const unet = strategyNames.filter((name) => strategies[name].needs === 'nothing');
  const modes = (name: (typeof unet)[number]): readonly (SyncMode | undefined)[] =>
    strategies[name].options.some((option) => option.name === 'sync_mode') ? syncModeNames : [undefined];
  const splits = ranks % 2 === 0 ? [false, true] : [false];
  return unet.flatMap((name) =>
    modes(name).flatMap((syncMode) =>
      splits.map((splitBatch) =>
        parallelOf(name, { warmupSteps, splitBatch, ...(syncMode && { syncMode }) }),
      ),
    ),
  );
}

for (const ranks of [2, 3, 4]) {
  test(`planned bytes are those that the communicators of ${ranks} ranks count`, async () => {
    const entry = new URL('./statistics-rank.js', import.meta.url);
    const group = await RankGroup.launch<StatisticsJob, readonly StepBytes[]>(groupOptions(ranks, entry));
    try {
      for (const parallel of waysOf(ranks)) {
        const counted = await group.run({ directory, parallel, steps, rows, columns }, () => {});
        assert.deepEqual(counted, plannedBytes(ranks, parallel), JSON.stringify(parallel));
      }
    } finally {
      await group.close();
    }
  });
}

function plannedBytes(ranks: number, parallel: ParallelOptions): StepBytes[][] {
  const topology = planTopology({ worldSize: ranks, guided: true, splitBatch: parallel.splitBatch });
  return topology.roles.map((role) => {
    const program = RankProgram.build(image, topology, role, parallel);
    return Array.from({ length: steps }, (_, call) => {
      const { exchanges } = program.step(call);
      return {
        published: sum(exchanges.map(({ published }) => published)),
        fetched: sum(exchanges.map(({ fetched }) => fetched)),
      };
    });
  });
}
