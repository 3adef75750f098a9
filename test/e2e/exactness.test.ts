import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ParallelOptions } from '../../src/parallel/registry.js';
import type { SyncMode } from '../../src/parallel/sync-modes.js';
import type { GenerationRequest } from '../../src/pipelines/request.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { assertClose, difference, tinySdxl } from '../support/golden.js';
import { generateHere } from '../support/in-process.js';
import { TracingRanks } from '../support/rank-group.js';
import { parallelOf, requestOf } from '../support/requests.js';

const request = requestOf({
  prompt: ['a lighthouse above a stormy sea'],
  height: 256,
  width: 192,
  numInferenceSteps: 10,
  scheduler: 'euler',
  seed: 42n,
});

function mode(syncMode: SyncMode, splitBatch: boolean, warmupSteps = 1): ParallelOptions {
  return parallelOf('patch', { syncMode, splitBatch, warmupSteps });
}

async function withRanks<T>(worldSize: number, use: (ranks: TracingRanks) => Promise<T>): Promise<T> {
  const ranks = await TracingRanks.launch(worldSize);
  try {
    return await use(ranks);
  } finally {
    await ranks.close();
  }
}

async function finalLatents(
  ranks: TracingRanks,
  drawn: GenerationRequest,
  parallel: ParallelOptions,
): Promise<Tensor> {
  return (await ranks.draw(tinySdxl, drawn, parallel)).read('final_latents');
}

/**
 * Requests whose bands are uneven in every way: rows that do not divide, odd rows at lower levels, several
 * images, no guidance.
 */
const requests: Readonly<Record<string, GenerationRequest>> = {
  'a portrait': request,
  'odd sizes at every level': { ...request, height: 232, width: 168 },
  'two pictures of each of two prompts': {
    ...request,
    prompt: ['a lighthouse', 'a stormy sea'],
    negativePrompt: ['fog'],
    numImagesPerPrompt: 2,
    height: 256,
    width: 64,
    numInferenceSteps: 4,
  },
  'no guidance': { ...request, guidanceScale: 1 },
};

describe('N ranks equal one rank', async () => {
  const alone = new Map<string, Tensor>();
  for (const [name, drawn] of Object.entries(requests)) {
    alone.set(name, (await generateHere(tinySdxl, drawn)).latents);
  }
  for (const worldSize of [2, 3, 4, 5, 6, 7, 8]) {
    const splits = worldSize % 2 === 0 ? [false, true] : [false];
    describe(`${worldSize} ranks`, () => {
      let ranks: TracingRanks;
      before(async () => {
        ranks = await TracingRanks.launch(worldSize);
      });
      after(() => ranks.close());

      for (const [name, drawn] of Object.entries(requests)) {
        it(`full_sync: ${name}`, async () => {
          for (const splitBatch of splits) {
            const actual = await finalLatents(ranks, drawn, mode('full_sync', splitBatch));
            assertClose(
              actual,
              alone.get(name) as Tensor,
              { relative: 2e-5 },
              `latents, split batch ${splitBatch}`,
            );
          }
        });
      }

      it('tensor parallelism, the same bits twice', { skip: ![2, 3, 5, 8].includes(worldSize) }, async () => {
        for (const splitBatch of splits) {
          const tensor = parallelOf('tensor', { splitBatch });
          const actual = await finalLatents(ranks, request, tensor);
          assertClose(
            actual,
            alone.get('a portrait') as Tensor,
            { relative: 2e-5 },
            `latents, split batch ${splitBatch}`,
          );
          const again = await finalLatents(ranks, request, tensor);
          assert.equal(difference(again, actual).worst, 0);
        }
      });
    });
  }
});

describe('the result does not depend on timing', () => {
  it('20 runs of corrected_async_gn on 4 ranks are equal to the bit', async () => {
    await withRanks(4, async (ranks) => {
      const first = await finalLatents(ranks, request, mode('corrected_async_gn', false));
      for (let run = 1; run < 20; run++) {
        const again = await finalLatents(ranks, request, mode('corrected_async_gn', false));
        assert.equal(difference(again, first).worst, 0, `run ${run}`);
      }
    });
  });

  for (const syncMode of ['corrected_async_gn', 'stale_gn', 'no_sync'] as const) {
    it(`${syncMode} stays the same when ranks are stopped and continued at random`, async () => {
      await withRanks(4, async (ranks) => {
        const calm = await finalLatents(ranks, request, mode(syncMode, false));
        const disturbed = await whileDisturbing(ranks, () =>
          finalLatents(ranks, request, mode(syncMode, false)),
        );
        assert.equal(difference(disturbed, calm).worst, 0);
      });
    });
  }
});

/** Stops one rank after another for some milliseconds until `work` is done. */
async function whileDisturbing<T>(ranks: TracingRanks, work: () => Promise<T>): Promise<T> {
  let busy = true;
  const disturb = async () => {
    for (let round = 0; busy; round++) {
      const pid = ranks.pids[(round * 7) % ranks.pids.length] as number;
      process.kill(pid, 'SIGSTOP');
      await delay(Math.random() * 30);
      process.kill(pid, 'SIGCONT');
      await delay(Math.random() * 10);
    }
  };
  const disturbing = disturb();
  try {
    return await work();
  } finally {
    busy = false;
    await disturbing;
  }
}
