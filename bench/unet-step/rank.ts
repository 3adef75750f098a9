/** The program of a distri rank that is measured: loads the noise model once, then runs steps on demand. */
import { type DeviceChoice, openDevice } from '../../src/engine/device.js';
import { strategies } from '../../src/parallel/registry.js';
import { planTopology } from '../../src/parallel/topology.js';
import { StepDenoiser } from '../../src/pipelines/denoise/step-denoiser.js';
import type { RankContext } from '../../src/ranks/rank-context.js';
import { serveJobs } from '../../src/ranks/serve.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { type BenchModel, benchParallel, openModel, randomInputs } from './model.js';

export type BenchJob =
  | {
      readonly type: 'load';
      readonly model: BenchModel;
      readonly threads: number;
      readonly weights: 'shared' | 'private';
      readonly device: DeviceChoice;
      /** Where the rank's profile goes, without its number. */
      readonly profile: string | undefined;
    }
  | { readonly type: 'step' }
  | { readonly type: 'release' };

/** Milliseconds of the step. */
export type BenchResult = number;

let denoiser: StepDenoiser;
let sample: Tensor<'float32'>;

async function load(job: Extract<BenchJob, { type: 'load' }>, ranks: RankContext): Promise<void> {
  const { threads, weights, profile } = job;
  const { batch, textTokens, ...latent } = job.model.shape;
  const { source, model } = await openModel(job.model);
  const device = openDevice(job.device);
  denoiser = await StepDenoiser.load(strategies.patch, {
    device,
    model,
    weights: await source.weights(model.component, { types: device.weightTypes }),
    scheduler: await source.config('scheduler'),
    load: { threads, weights, profile: profile && `${profile}-rank${ranks.rank}` },
    ranks,
    topology: planTopology({ worldSize: ranks.worldSize, guided: true, splitBatch: false }),
    parallel: benchParallel,
    latent,
    textTokens,
    images: batch / 2,
  });
  const inputs = randomInputs(model, job.model.shape);
  await denoiser.begin(inputs);
  sample = inputs[model.inputs.sample] as Tensor<'float32'>;
}

serveJobs<BenchJob, BenchResult>(async (job, ranks) => {
  if (job.type === 'release') {
    denoiser.release();
    return 0;
  }
  const started = performance.now();
  if (job.type === 'load') await load(job, ranks);
  await denoiser.predictNoise(sample, 500);
  return performance.now() - started;
});
