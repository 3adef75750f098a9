/** The program of a distri rank in the benchmark: loads the UNet once, then runs steps on demand. */
import { loadWeights } from '../../src/checkpoint/weights.js';
import { loadAddon } from '../../src/engine/load.js';
import { planTopology } from '../../src/parallel/topology.js';
import { Denoiser, unetInputs } from '../../src/pipelines/denoise/step-denoiser.js';
import { serveJobs } from '../../src/ranks/serve.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { type BenchModel, benchParallel, randomInputs } from './model.js';

export type BenchJob =
  | {
      readonly type: 'load';
      readonly model: BenchModel;
      readonly threads: number;
      readonly weights: 'shared' | 'private';
      /** Where the rank's profile goes, without its number. */
      readonly profile: string | undefined;
    }
  | { readonly type: 'step' }
  | { readonly type: 'release' };

/** Milliseconds of the step. */
export type BenchResult = number;

let denoiser: Denoiser;
let sample: Tensor<'float32'>;

serveJobs<BenchJob, BenchResult>(async (job, ranks) => {
  if (job.type === 'release') {
    denoiser.release();
    return 0;
  }
  const started = performance.now();
  if (job.type === 'load') {
    const { model, threads, weights } = job;
    const profile = job.profile && `${job.profile}-rank${ranks.rank}`;
    const topology = planTopology({ worldSize: ranks.worldSize, guided: true, splitBatch: false });
    const source = { config: async () => model.config, weights: () => loadWeights(model.directory, 'unet') };
    const options = { directory: model.directory, variant: undefined, threads, weights, profile };
    denoiser = await Denoiser.load(loadAddon(), source, options, ranks, topology, benchParallel, model.shape);
    const inputs = randomInputs(model);
    await denoiser.begin(unetInputs(inputs));
    sample = inputs.sample;
  }
  await denoiser.predictNoise(sample, 500);
  return performance.now() - started;
});
