import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sum } from '../../src/base/numbers.js';
import { chooseDevice, type DeviceChoice, openDevice, referenceDevice } from '../../src/engine/device.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { pixArt } from '../../src/families/pixart.js';
import type { ParallelOptions } from '../../src/parallel/registry.js';
import { divisors } from '../../src/parallel/strategy.js';
import { planTopology } from '../../src/parallel/topology.js';
import { RankProgram } from '../../src/planning/rank-program.js';
import {
  type Denoised,
  DenoisingRanks,
  type ParallelCase,
  parallelCases,
  parallelRequest,
} from '../support/denoising-ranks.js';
import { assertClose } from '../support/golden.js';
import { tinyPixArt } from '../support/golden-dit.js';
import { parallelOf } from '../support/requests.js';

const [golden] = (await parallelCases('single')).filter(({ id }) => id === 'single_dpm') as [ParallelCase];
/** Rows and columns of tokens differ, and neither rows nor the 8 heads can be divided evenly by 3 or 5. */
const size = { height: 192, width: 320, numInferenceSteps: 3 };
const request = { ...parallelRequest(golden), ...size };
const fullSync = { syncMode: 'full_sync' } as const;

const sequences = (ranks: number): ParallelOptions[] =>
  divisors(ranks).map((ulyssesDegree) => parallelOf('sequence', { ulyssesDegree }));

function nameOf({ parallelism, ulyssesDegree, splitBatch }: ParallelOptions): string {
  const degree = ulyssesDegree === undefined ? '' : `, ulysses_degree ${ulyssesDegree}`;
  return `${parallelism}${degree}${splitBatch ? ', split batch' : ''}`;
}

const { model, textTokens } = await pixArt.outline(await openCheckpoint(tinyPixArt));

/** Published and read by each rank in all steps, as `distri plan` says. */
function plannedBytes(
  worldSize: number,
  options: ParallelOptions,
  device: DeviceChoice = referenceDevice,
): number[][] {
  const topology = planTopology({ worldSize, guided: true, splitBatch: options.splitBatch });
  const [rows, columns] = [size.height / 8, size.width / 8];
  const image = { device: openDevice(device), model, rows, columns, textTokens, images: 1 };
  return topology.roles.map((role) => {
    const { exchanges } = RankProgram.build(image, topology, role, options).step(0);
    const total = (part: 'published' | 'fetched') =>
      size.numInferenceSteps * sum(exchanges.map((exchange) => exchange[part]));
    return [total('published'), total('fetched')];
  });
}

describe('exact strategies equal one rank, and send what is planned', () => {
  let alone: Denoised;
  before(async () => {
    const ranks = await DenoisingRanks.launch(1);
    alone = await ranks.draw(golden, parallelOf('patch', fullSync), request);
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
        parallelOf('tensor'),
        parallelOf('patch', fullSync),
        ...(worldSize % 2 === 0
          ? [
              ...sequences(worldSize / 2).map((options) => ({ ...options, splitBatch: true })),
              ...split.map((parallelism) => parallelOf(parallelism, { ...fullSync, splitBatch: true })),
            ]
          : []),
      ];
      for (const options of all) {
        it(nameOf(options), async () => {
          const { trace, reports } = await ranks.draw(golden, options, request);
          assert.deepEqual(
            reports.map(({ published, fetched }) => [published, fetched]),
            plannedBytes(worldSize, options),
          );
          for (const [name, wanted] of alone.trace) {
            if (/latents|noise_pred/.test(name)) {
              assertClose(trace.get(name), wanted, { relative: 1e-5 }, name);
            }
          }
        });
      }

      it('in bf16 they send what is planned for bf16', { skip: ![3, 8].includes(worldSize) }, async () => {
        const device = chooseDevice({ dtype: 'bf16' }, 'narrow');
        for (const options of all) {
          const { reports } = await ranks.draw(golden, options, request, { device });
          const actual = reports.map(({ published, fetched }) => [published, fetched]);
          const planned = plannedBytes(worldSize, options, device);
          assert.deepEqual(actual, planned, nameOf(options));
          const [[long = 0] = [], [short = 0] = []] = [plannedBytes(worldSize, options), planned].map(
            (ranksBytes) => ranksBytes[0],
          );
          assert.ok(short < 0.6 * long, `${nameOf(options)}: ${short} bytes of ${long}`);
        }
      });

      it('to the bit the same when drawn again', async () => {
        for (const options of sequences(worldSize)) {
          const [first, second] = [
            await ranks.draw(golden, options, request),
            await ranks.draw(golden, options, request),
          ];
          assert.deepEqual(first.trace.get('final_latents'), second.trace.get('final_latents'));
        }
      });
    });
  }
});
