import assert from 'node:assert/strict';
import { test } from 'node:test';
import { embeddedModel } from '../../src/base/package.js';
import type { GenerationJob, JobReport } from '../../src/jobs/draw.js';
import type { GenerationRequest } from '../../src/pipelines/request.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import { noParallelism } from '../support/in-process.js';

const request: GenerationRequest = {
  prompt: ['a red heart'],
  negativePrompt: [],
  height: 64,
  width: 64,
  numInferenceSteps: 2,
  guidanceScale: 5,
  eta: 0,
  numImagesPerPrompt: 1,
  scheduler: 'ddim',
  seed: 1n,
  rng: 'cpu',
  outputType: 'pil',
  trace: false,
};

function jobWith(change: Partial<GenerationRequest>): GenerationJob {
  return {
    load: { directory: embeddedModel, variant: undefined, weights: 'shared', threads: 1 },
    request: { ...request, ...change },
    parallel: noParallelism,
    files: { images: [], latents: undefined, trace: undefined },
  };
}

test('models stay loaded for the next job, unless it needs others', async () => {
  const group = await RankGroup.launch<GenerationJob, JobReport>({
    worldSize: 2,
    entry: new URL('../../src/jobs/rank.js', import.meta.url),
    cpus: undefined,
    timeout: 60_000,
    interruption: new AbortController().signal,
    log: () => {},
  });
  const jobs: readonly [change: Partial<GenerationRequest>, loads: boolean][] = [
    [{}, true],
    [
      { prompt: ['a blue ring'], seed: 2n, scheduler: 'euler', guidanceScale: 7, numInferenceSteps: 3 },
      false,
    ],
    [{ height: 128 }, true],
    [{ height: 128, numImagesPerPrompt: 2 }, true],
    [{ height: 128, prompt: ['a', 'b'] }, false],
    [{ height: 128, prompt: ['a', 'b'], outputType: 'latent' }, true],
  ];
  try {
    for (const [change, loads] of jobs) {
      const reports = await group.run(jobWith(change), () => {});
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
