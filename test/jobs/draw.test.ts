import assert from 'node:assert/strict';
import { test } from 'node:test';
import { embeddedModel } from '../../src/base/package.js';
import type { DrawJob } from '../../src/jobs/draw.js';
import { runJob } from '../../src/jobs/jobs.js';
import type { GenerationRequest } from '../../src/pipelines/request.js';
import { launchRanks } from '../support/rank-group.js';
import { loadOf, parallelOf, requestOf } from '../support/requests.js';

function jobWith(change: Partial<GenerationRequest>): DrawJob {
  return {
    load: loadOf('sdxl', embeddedModel),
    request: requestOf({ prompt: ['a red heart'], outputType: 'pil', trace: false, ...change }),
    parallel: parallelOf('patch', { splitBatch: true }),
    results: { kind: 'files', images: [], latents: undefined, trace: undefined },
  };
}

test('models stay loaded for the next job, unless it needs others', async () => {
  const group = await launchRanks(2);
  const jobs: readonly [change: Partial<GenerationRequest>, loads: boolean][] = [
    [{}, true],
    [
      { prompt: ['a blue ring'], seed: 2n, scheduler: 'euler', guidanceScale: 7, numInferenceSteps: 3 },
      false,
    ],
    [{ height: 128 }, true],
    [{ height: 128, numImagesPerPrompt: 2 }, true],
    [{ height: 128, prompt: ['a', 'b'] }, false],
    [{ height: 128, prompt: ['a', 'b'], outputType: 'latent' }, false],
    // Each part by its own key: the text encoders and the noise model stay, and of the VAE nothing is needed.
    [{ height: 128, prompt: ['a', 'b'] }, false],
  ];
  try {
    for (const [change, loads] of jobs) {
      const reports = await runJob(group, 'draw', jobWith(change));
      for (const { timings, latency, endToEnd, exchanges } of reports) {
        assert.equal(timings.phases.load !== undefined, loads, JSON.stringify(Object.keys(change)));
        assert.ok(latency >= (timings.phases.denoise ?? Number.POSITIVE_INFINITY));
        const { load = 0 } = timings.phases;
        assert.ok(endToEnd >= latency + load && (timings.starts.denoise as number) >= load);
        assert.equal(exchanges.length, timings.steps.length);
        assert.ok(exchanges.every(({ bytesPublished }) => bytesPublished > 0));
      }
    }
  } finally {
    await group.close();
  }
});
