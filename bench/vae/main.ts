/**
 * What a VAE of SDXL's architecture (random weights) takes on N ranks: seconds, and how far each rank's private memory rises above what it was when
 * the VAE was loaded (see PeakMeter). What a rank publishes for others is added. `x N` is a rank's peak times N against 1 rank.
 *
 *   node dist/bench/vae/main.js [--half encode] [--size 512] [--ranks 1,2,4] [--vae parallel|tiled] [--tile 512] [--weights shared]
 */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { embeddedModel } from '../../src/base/package.js';
import { writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { WeightPlan, writeRandomWeights } from '../../src/checkpoint/random-weights.js';
import { Graph } from '../../src/graph/graph.js';
import { Kernels } from '../../src/graph/kernels/kernels.js';
import type { VaeJob, VaeReport } from '../../src/jobs/vae.js';
import { availableCpus } from '../../src/machine/cpus.js';
import {
  AutoencoderKLDecoder,
  AutoencoderKLEncoder,
  readAutoencoderKLConfig,
} from '../../src/models/autoencoder-kl.js';
import { SingleDevice } from '../../src/parallel/strategies/single-device.js';
import { planVae } from '../../src/pipelines/vae/plan.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import { TorchGenerator } from '../../src/tensor/random-torch.js';
import { uint8 } from '../../src/tensor/tensor.js';

const sdxlVae = {
  block_out_channels: [128, 256, 512, 512],
  down_block_types: Array(4).fill('DownEncoderBlock2D'),
  latent_channels: 4,
  layers_per_block: 2,
  sample_size: 1024,
  scaling_factor: 0.13025,
  up_block_types: Array(4).fill('UpDecoderBlock2D'),
};
const megabyte = 1e6;

const { values } = parseArgs({
  options: {
    half: { type: 'string', default: 'decode' },
    size: { type: 'string', default: '512' },
    ranks: { type: 'string', default: '1,2,4' },
    vae: { type: 'string', default: 'parallel' },
    tile: { type: 'string', default: '512' },
    weights: { type: 'string', default: 'shared' },
  },
});
const size = Number(values.size);
const half = values.half === 'encode' ? 'encode' : 'decode';
const weights = values.weights === 'private' ? 'private' : 'shared';
const config = readAutoencoderKLConfig(sdxlVae);

/** A checkpoint whose VAE has random weights; the rest is that of the embedded model. */
async function makeCheckpoint(folder: string): Promise<string> {
  const directory = join(folder, 'model');
  await mkdir(join(directory, 'vae'), { recursive: true });
  for (const part of ['text_encoder', 'text_encoder_2', 'tokenizer', 'tokenizer_2', 'unet', 'scheduler']) {
    await symlink(join(embeddedModel, part), join(directory, part));
  }
  await symlink(join(embeddedModel, 'model_index.json'), join(directory, 'model_index.json'));
  await writeFile(join(directory, 'vae', 'config.json'), JSON.stringify(sdxlVae));
  const plan = new WeightPlan();
  const layers = () => {
    const kernels = new Kernels(new Graph());
    return [new SingleDevice(kernels, plan), kernels] as const;
  };
  new AutoencoderKLDecoder(config, ...layers()).build({ batch: 1, rows: 8, columns: 8 });
  new AutoencoderKLEncoder(config, ...layers()).build({ batch: 1, height: 64, width: 64 });
  await writeRandomWeights(join(directory, 'vae', 'diffusion_pytorch_model.safetensors'), plan.entries);
  return directory;
}

async function makeTask(folder: string): Promise<VaeJob['task']> {
  const input = join(folder, 'input.safetensors');
  const generator = new TorchGenerator(0n);
  if (half === 'decode') {
    await writeSafetensors(input, { latents: generator.randn([1, 4, size / 8, size / 8]) });
    return { kind: 'decode', input, tensor: 'latents', images: [], decoded: undefined };
  }
  const noise = generator.rand([1, size, size, 3]).data;
  const pixels = uint8(
    [1, size, size, 3],
    Uint8Array.from(noise, (value) => 255 * value),
  );
  await writeSafetensors(input, { pixels });
  return { kind: 'encode', input, latents: join(folder, 'latents.safetensors'), sample: undefined };
}

interface Measurement {
  readonly seconds: number;
  /** Per rank. */
  readonly peaks: readonly number[];
  readonly published: readonly number[];
}

async function measure(directory: string, task: VaeJob['task'], ranks: number): Promise<Measurement> {
  const group = await RankGroup.launch<VaeJob, VaeReport>({
    worldSize: ranks,
    entry: new URL('../../src/jobs/vae-rank.js', import.meta.url),
    cpus: undefined,
    timeout: 600_000,
    interruption: new AbortController().signal,
    log: (_rank, line) => console.error(line),
  });
  try {
    const threads = Math.max(1, Math.floor(availableCpus().count / ranks));
    const tilePixels = values.vae === 'tiled' ? Number(values.tile) : undefined;
    const vae = { parallel: ranks > 1, tilePixels };
    const job = { load: { directory, variant: undefined, weights, threads, vae }, task } as const;
    const reports = await group.run(job, () => {});
    const seconds = (reports[0]?.timings.phases[half] as number) / 1000;
    const published = reports.map((report) => report.published);
    return { seconds, peaks: reports.map(({ peak }) => peak), published };
  } finally {
    await group.close();
  }
}

const folder = await mkdtemp(join(tmpdir(), 'distri-bench-'));
try {
  const directory = await makeCheckpoint(folder);
  const task = await makeTask(folder);
  const work = { half, config, size: { rows: size, columns: size }, worldSize: 1 } as const;
  const mode = values.vae === 'tiled' ? 'tiled' : 'rank0';
  const estimate = planVae(mode, work, Number(values.tile)).bytes / megabyte;
  console.log(
    `${half} ${size} x ${size} px, ${mode === 'tiled' ? `tiles of ${values.tile} px` : 'whole'}, ${weights} weights; ` +
      `activations of 1 rank by the graph: ${estimate.toFixed(0)} MB`,
  );
  console.log('ranks   seconds   peak of a rank, MB   published, MB   x N');
  let single: number | undefined;
  for (const ranks of values.ranks.split(',').map(Number)) {
    const { seconds, peaks, published } = await measure(directory, task, ranks);
    const most = Math.max(...peaks);
    if (ranks === 1) single = most;
    const share = single === undefined ? '' : ((most * ranks) / single).toFixed(3);
    const columns = [
      String(ranks).padStart(5),
      seconds.toFixed(2).padStart(10),
      (most / megabyte).toFixed(0).padStart(21),
      (Math.max(...published) / megabyte).toFixed(1).padStart(16),
      share.padStart(6),
    ];
    console.log(columns.join(''));
  }
} finally {
  await rm(folder, { recursive: true });
}
