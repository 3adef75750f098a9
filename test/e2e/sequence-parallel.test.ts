import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readJsonObject } from '../../src/base/json.js';
import { CAPTION_TOKENS } from '../../src/families/pixart-alpha.js';
import { pixArtModel } from '../../src/models/noise-model.js';
import { readPixArtTransformer2DConfig } from '../../src/models/pixart-transformer-2d.js';
import { planTopology } from '../../src/parallel/topology.js';
import type { ParallelOptions } from '../../src/pipelines/request.js';
import { RankProgram } from '../../src/planning/rank-program.js';
import {
  type Denoised,
  DenoisingRanks,
  type ParallelCase,
  parallelCases,
  parallelOptions,
} from '../support/denoising-ranks.js';
import { assertClose } from '../support/golden.js';
import { tinyPixArt } from '../support/golden-dit.js';

const [golden] = (await parallelCases('single')).filter(({ id }) => id === 'single_dpm') as [ParallelCase];
/** Rows and columns of tokens differ, and neither rows nor the 8 heads can be divided evenly by 3 or 5. */
const size = { height: 192, width: 320, numInferenceSteps: 3 };

const sequences = (ranks: number): ParallelOptions[] => {
  const degrees = Array.from({ length: ranks }, (_, i) => i + 1).filter((degree) => ranks % degree === 0);
  return degrees.map((ulyssesDegree) =>
    parallelOptions({ parallelism: 'sequence', sequence: { ulyssesDegree } }),
  );
};

function nameOf({ parallelism, sequence, splitBatch }: ParallelOptions): string {
  const degree = sequence?.ulyssesDegree === undefined ? '' : `, ulysses_degree ${sequence.ulyssesDegree}`;
  return `${parallelism}${degree}${splitBatch ? ', split batch' : ''}`;
}

const model = pixArtModel(
  readPixArtTransformer2DConfig(await readJsonObject(join(tinyPixArt, 'transformer', 'config.json'))),
);

/** Published and read by each rank in all steps, as `distri plan` says. */
function plannedBytes(worldSize: number, options: ParallelOptions): number[][] {
  const topology = planTopology({ worldSize, guided: true, splitBatch: options.splitBatch });
  const image = {
    model,
    rows: size.height / 8,
    columns: size.width / 8,
    textTokens: CAPTION_TOKENS,
    images: 1,
  };
  return topology.roles.map((role) => {
    const { exchanges } = RankProgram.build(image, topology, role, options).step(0);
    const sum = (part: 'published' | 'fetched') =>
      size.numInferenceSteps * Math.round(exchanges.reduce((total, exchange) => total + exchange[part], 0));
    return [sum('published'), sum('fetched')];
  });
}

describe('exact strategies equal one rank, and send what is planned', () => {
  let alone: Denoised;
  before(async () => {
    const ranks = await DenoisingRanks.launch(1);
    alone = await ranks.draw(golden, parallelOptions({}), size);
    await ranks.close();
  });

  for (const worldSize of [2, 3, 4, 5, 8]) {
    describe(`${worldSize} ranks`, () => {
      let ranks: DenoisingRanks;
      before(async () => {
        ranks = await DenoisingRanks.launch(worldSize);
      });
      after(() => ranks.close());

      const split = ['tensor', 'patch'] as const;
      const all = [
        ...sequences(worldSize),
        parallelOptions({ parallelism: 'tensor' }),
        parallelOptions({ parallelism: 'patch' }),
        ...(worldSize % 2 === 0
          ? [
              ...sequences(worldSize / 2).map((options) => ({ ...options, splitBatch: true })),
              ...split.map((parallelism) => parallelOptions({ parallelism, splitBatch: true })),
            ]
          : []),
      ];
      for (const options of all) {
        it(nameOf(options), async () => {
          const { trace, reports } = await ranks.draw(golden, options, size);
          assert.deepEqual(
            reports.map(({ bytesPublished, bytesFetched }) => [bytesPublished, bytesFetched]),
            plannedBytes(worldSize, options),
          );
          for (const [name, wanted] of alone.trace) {
            if (/latents|noise_pred/.test(name)) {
              assertClose(trace.get(name), wanted, { relative: 1e-5 }, name);
            }
          }
        });
      }

      it('to the bit the same when drawn again', async () => {
        for (const options of sequences(worldSize)) {
          const [first, second] = [
            await ranks.draw(golden, options, size),
            await ranks.draw(golden, options, size),
          ];
          assert.deepEqual(first.trace.get('final_latents'), second.trace.get('final_latents'));
        }
      });
    });
  }
});
