/** The program of a rank that runs steps of a model and says what its communicator counted in each. */

import { openDevice } from '../../src/engine/device.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { familyOf } from '../../src/families/registry.js';
import { type ParallelOptions, strategies } from '../../src/parallel/registry.js';
import { planTopology } from '../../src/parallel/topology.js';
import { batchSize } from '../../src/pipelines/conditioning.js';
import { StepDenoiser } from '../../src/pipelines/denoise/step-denoiser.js';
import { serveJobs } from '../../src/ranks/serve.js';
import { float32 } from '../../src/tensor/tensor.js';

export interface StatisticsJob {
  readonly directory: string;
  readonly parallel: ParallelOptions;
  readonly steps: number;
  readonly rows: number;
  readonly columns: number;
}

export interface StepBytes {
  readonly published: number;
  readonly fetched: number;
}

serveJobs<StatisticsJob, readonly StepBytes[]>(async (job, ranks) => {
  const { directory, parallel, rows, columns } = job;
  const topology = planTopology({
    worldSize: ranks.worldSize,
    guided: true,
    splitBatch: parallel.splitBatch,
  });
  const batch = batchSize(1, topology);
  const checkpoint = await openCheckpoint(directory);
  const { model, textTokens } = await familyOf(checkpoint).outline(checkpoint);
  const strategy = strategies[parallel.parallelism];
  if (strategy.kind === 'stages') throw new Error('stages are counted elsewhere');
  const denoiser = await StepDenoiser.load(strategy, {
    device: openDevice(),
    model,
    weights: await checkpoint.weights(model.component),
    scheduler: {},
    load: { weights: 'shared', threads: 1 },
    ranks,
    topology,
    parallel,
    latent: { rows, columns },
    textTokens,
    images: 1,
  });
  await denoiser.beginZeros();
  const steps: StepBytes[] = [];
  const statistics = () => denoiser.communicator?.statistics() ?? { bytesPublished: 0, bytesFetched: 0 };
  let before = statistics();
  for (let step = 0; step < job.steps; step++) {
    await denoiser.predictNoise(float32([batch, model.inChannels, rows, columns]), 500);
    const now = statistics();
    steps.push({
      published: now.bytesPublished - before.bytesPublished,
      fetched: now.bytesFetched - before.bytesFetched,
    });
    before = now;
  }
  denoiser.release();
  return steps;
});
