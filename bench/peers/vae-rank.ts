/** The program of a rank whose VAE is measured: loads a decoder once, then decodes on demand. */
import { type DeviceChoice, openDevice } from '../../src/engine/device.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { LatentDecoder } from '../../src/pipelines/vae/decoder.js';
import { serveJobs } from '../../src/ranks/serve.js';
import { TorchGenerator } from '../../src/tensor/random-torch.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { vaeConfig } from '../vae/checkpoint.js';

export type VaeBenchJob =
  | {
      readonly type: 'load';
      readonly directory: string;
      /** Side of the picture. */
      readonly size: number;
      readonly threads: number;
      readonly device: DeviceChoice;
      readonly profile: string | undefined;
    }
  | { readonly type: 'step' }
  | { readonly type: 'release' };

let decoder: LatentDecoder;
let latents: Tensor<'float32'>;

async function load(job: Extract<VaeBenchJob, { type: 'load' }>): Promise<void> {
  const { directory, size, threads, device, profile } = job;
  const checkpoint = await openCheckpoint(directory);
  const grid = { rows: size / 8, columns: size / 8 };
  const options = { threads, weights: 'private', rank: 0, communicator: undefined, profile } as const;
  decoder = await LatentDecoder.load(openDevice(device), checkpoint, vaeConfig, grid, options);
  latents = new TorchGenerator(0n).randn([1, 4, grid.rows, grid.columns]);
}

/** Milliseconds of the decoding. */
serveJobs<VaeBenchJob, number>(async (job) => {
  if (job.type === 'release') {
    decoder.release();
    return 0;
  }
  if (job.type === 'load') await load(job);
  const started = performance.now();
  await decoder.decode(latents);
  return performance.now() - started;
});
