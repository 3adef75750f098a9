/** The program of a rank whose steps are compared with their prediction. */
import { loadWeights } from '../../src/checkpoint/weights.js';
import { loadAddon } from '../../src/engine/load.js';
import { planTopology } from '../../src/parallel/topology.js';
import { batchSize } from '../../src/pipelines/conditioning.js';
import { Denoiser, unetInputs } from '../../src/pipelines/denoise/step-denoiser.js';
import type { ParallelOptions } from '../../src/pipelines/request.js';
import { serveJobs } from '../../src/ranks/serve.js';
import { type BenchModel, randomInputs } from '../unet-step/model.js';

export interface StepsJob {
  readonly model: BenchModel;
  readonly parallel: ParallelOptions;
  readonly threads: number;
  readonly weights: 'shared' | 'private';
  readonly steps: number;
}

/** Seconds of each step. */
serveJobs<StepsJob, readonly number[]>(async ({ model, parallel, threads, weights, steps }, ranks) => {
  const { splitBatch } = parallel;
  const topology = planTopology({ worldSize: ranks.worldSize, guided: true, splitBatch });
  const source = { config: async () => model.config, weights: () => loadWeights(model.directory, 'unet') };
  const load = { directory: model.directory, variant: undefined, threads, weights };
  const shape = { ...model.shape, batch: batchSize(1, topology) };
  const denoiser = await Denoiser.load(loadAddon(), source, load, ranks, topology, parallel, shape);
  const inputs = randomInputs({ ...model, shape });
  await denoiser.begin(unetInputs(inputs));
  const times: number[] = [];
  for (let step = 0; step < steps; step++) {
    const start = performance.now();
    await denoiser.predictNoise(inputs.sample, 500);
    times.push((performance.now() - start) / 1000);
  }
  denoiser.release();
  return times;
});
