/** The program of a rank that runs steps of a model and says what its communicator counted in each. */
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { loadAddon } from '../../src/engine/load.js';
import { readUNet2DConditionConfig } from '../../src/models/unet-2d-condition.js';
import { planTopology } from '../../src/parallel/topology.js';
import { batchSize } from '../../src/pipelines/conditioning.js';
import { Denoiser, unetInputs } from '../../src/pipelines/denoise/step-denoiser.js';
import type { ParallelOptions } from '../../src/pipelines/request.js';
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

const TEXT_TOKENS = 77;

serveJobs<StatisticsJob, readonly StepBytes[]>(async (job, ranks) => {
  const { directory, parallel, rows, columns } = job;
  const topology = planTopology({
    worldSize: ranks.worldSize,
    guided: true,
    splitBatch: parallel.splitBatch,
  });
  const batch = batchSize(1, topology);
  const shape = { batch, rows, columns, textTokens: TEXT_TOKENS };
  const load = { directory, variant: undefined, weights: 'shared', threads: 1 } as const;
  const checkpoint = await openCheckpoint(directory);
  const denoiser = await Denoiser.load(loadAddon(), checkpoint, load, ranks, topology, parallel, shape);
  const { crossAttentionDim, inChannels, textTime } = readUNet2DConditionConfig(
    await checkpoint.config('unet'),
  );
  await denoiser.begin(
    unetInputs({
      encoderHiddenStates: float32([batch, TEXT_TOKENS, crossAttentionDim]),
      textEmbeds: float32([batch, textTime ? textTime.inputDim - 6 * textTime.timeEmbedDim : 0]),
      timeIds: float32([batch, 6]),
    }),
  );
  const steps: StepBytes[] = [];
  const statistics = () => denoiser.communicator?.statistics() ?? { bytesPublished: 0, bytesFetched: 0 };
  let before = statistics();
  for (let step = 0; step < job.steps; step++) {
    await denoiser.predictNoise(float32([batch, inChannels, rows, columns]), 500);
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
