import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readJsonObject } from '../../src/base/json.js';
import { CAPTION_TOKENS } from '../../src/families/pixart-alpha.js';
import { pixArtModel } from '../../src/models/noise-model.js';
import { readPixArtTransformer2DConfig } from '../../src/models/pixart-transformer-2d.js';
import { planTopology } from '../../src/parallel/topology.js';
import type { ParallelOptions, StageOptions } from '../../src/pipelines/request.js';
import { RankProgram } from '../../src/planning/rank-program.js';
import { tinyPixArt } from '../support/golden-dit.js';
import type { StepBytes } from '../support/pipefusion-rank.js';
import {
  DenoisingRanks,
  type PipeFusionCase,
  pipeFusion,
  pipeFusionCases,
  pipeFusionRequest,
} from '../support/pipefusion-ranks.js';

const golden = (await pipeFusionCases()).find(({ id }) => id === 'pf_m4_w1_dpm') as PipeFusionCase;
const model = pixArtModel(
  readPixArtTransformer2DConfig(await readJsonObject(join(tinyPixArt, 'transformer', 'config.json'))),
);
const STEPS = 4;
/** 14 rows of patches: with four patches the last one is lower. */
const [height, width] = [224, 192];

function plannedBytes(worldSize: number, parallel: ParallelOptions): StepBytes[][] {
  const topology = planTopology({ worldSize, guided: true, splitBatch: parallel.splitBatch });
  const [rows, columns] = [height / 8, width / 8];
  const image = { model, rows, columns, textTokens: CAPTION_TOKENS, images: 1 };
  return topology.roles.map((role) => {
    const program = RankProgram.build(image, topology, role, parallel);
    return Array.from({ length: STEPS }, (_, call) => {
      const { exchanges } = program.step(call);
      // Nobody needs the latents of the last step as the sample of another.
      const sent = exchanges.filter(({ kind }) => call < STEPS - 1 || kind !== 'latents');
      return {
        published: sent.reduce((sum, { published }) => sum + published, 0),
        fetched: exchanges.reduce((sum, { fetched }) => sum + fetched, 0),
      };
    });
  });
}

const cases: readonly [ranks: number, warmupSteps: number, pipeline: StageOptions, splitBatch: boolean][] = [
  [2, 0, { patches: 4 }, false],
  [3, 1, { patches: 4 }, false],
  [4, 2, { patches: 3, sequence: 2 }, false],
  [4, 1, {}, true],
  [8, 1, { patches: 4, sequence: 2 }, true],
  [4, 1, { patches: 2, sequence: 4 }, false],
];

for (const [ranks, warmupSteps, pipeline, splitBatch] of cases) {
  const name = `${ranks} ranks, ${JSON.stringify(pipeline)}${splitBatch ? ', split batch' : ''}`;
  test(`planned bytes of every step are those that a pipeline's communicators count: ${name}`, async () => {
    const group = await DenoisingRanks.launch(ranks);
    try {
      const parallel = pipeFusion(warmupSteps, pipeline, splitBatch);
      const request = {
        ...pipeFusionRequest(golden),
        ...{ height, width, numInferenceSteps: STEPS, trace: false },
      };
      const { steps } = await group.draw(golden, parallel, 1, request);
      assert.deepEqual(steps, plannedBytes(ranks, parallel));
    } finally {
      await group.close();
    }
  });
}
