import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sum } from '../../src/base/numbers.js';
import { openDevice } from '../../src/engine/device.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { pixArt } from '../../src/families/pixart.js';
import type { ParallelOptions } from '../../src/parallel/registry.js';
import type { StageOptions } from '../../src/parallel/strategies/stage-plan.js';
import { planTopology } from '../../src/parallel/topology.js';
import { RankProgram } from '../../src/planning/rank-program.js';
import type { StepBytes } from '../support/denoising-rank.js';
import { DenoisingRanks } from '../support/denoising-ranks.js';
import { tinyPixArt } from '../support/golden-dit.js';
import { type PipeFusionCase, pipeFusionCases, pipeFusionRequest } from '../support/pipefusion-ranks.js';
import { parallelOf } from '../support/requests.js';

const golden = (await pipeFusionCases()).find(({ id }) => id === 'pf_m4_w1_dpm') as PipeFusionCase;
const { model, textTokens } = await pixArt.outline(await openCheckpoint(tinyPixArt));
const STEPS = 4;
/** 14 rows of patches: with four patches the last one is lower. */
const [height, width] = [224, 192];

function plannedBytes(worldSize: number, parallel: ParallelOptions): StepBytes[][] {
  const topology = planTopology({ worldSize, guided: true, splitBatch: parallel.splitBatch });
  const [rows, columns] = [height / 8, width / 8];
  const image = { device: openDevice(), model, rows, columns, textTokens, images: 1 };
  return topology.roles.map((role) => {
    const program = RankProgram.build(image, topology, role, parallel);
    return Array.from({ length: STEPS }, (_, call) => {
      const { exchanges } = program.step(call);
      // Nobody needs the latents of the last step as the sample of another.
      const sent = exchanges.filter(({ kind }) => call < STEPS - 1 || kind !== 'latents');
      return {
        published: sum(sent.map(({ published }) => published)),
        fetched: sum(exchanges.map(({ fetched }) => fetched)),
      };
    });
  });
}

const cases: readonly [ranks: number, warmupSteps: number, pipeline: StageOptions, splitBatch: boolean][] = [
  [2, 0, { numPipelinePatch: 4 }, false],
  [3, 1, { numPipelinePatch: 4 }, false],
  [4, 2, { numPipelinePatch: 3, sequenceDegree: 2 }, false],
  [4, 1, {}, true],
  [8, 1, { numPipelinePatch: 4, sequenceDegree: 2 }, true],
  [4, 1, { numPipelinePatch: 2, sequenceDegree: 4 }, false],
];

for (const [ranks, warmupSteps, pipeline, splitBatch] of cases) {
  const name = `${ranks} ranks, ${JSON.stringify(pipeline)}${splitBatch ? ', split batch' : ''}`;
  test(`planned bytes of every step are those that a pipeline's communicators count: ${name}`, async () => {
    const group = await DenoisingRanks.launch(ranks);
    try {
      const parallel = parallelOf('pipefusion', { warmupSteps, splitBatch, ...pipeline });
      const request = {
        ...pipeFusionRequest(golden),
        ...{ height, width, numInferenceSteps: STEPS, trace: false },
      };
      const { reports } = await group.draw(golden, parallel, request);
      assert.deepEqual(
        reports.map(({ steps }) => steps),
        plannedBytes(ranks, parallel),
      );
    } finally {
      await group.close();
    }
  });
}
