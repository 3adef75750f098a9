import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedModel } from '../../src/base/package.js';
import { writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { WeightPlan, writeRandomWeights } from '../../src/checkpoint/random-weights.js';
import { table } from '../../src/commands/output/table.js';
import { openDevice, referenceDevice } from '../../src/engine/device.js';
import { Graph } from '../../src/graph/graph.js';
import { type NamedJob, rankEntry, runJob } from '../../src/jobs/jobs.js';
import type { VaeJob, VaeReport } from '../../src/jobs/vae.js';
import { availableCpus, shareCpus } from '../../src/machine/cpus.js';
import type { WeightsMode } from '../../src/machine/memory.js';
import {
  AutoencoderKLDecoder,
  AutoencoderKLEncoder,
  readAutoencoderKLConfig,
} from '../../src/models/autoencoder-kl.js';
import { SingleDevice } from '../../src/parallel/layers/single-device.js';
import { planVae } from '../../src/pipelines/vae/plan.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import { TorchGenerator } from '../../src/tensor/random-torch.js';
import { uint8 } from '../../src/tensor/tensor.js';
import { integer, integers, oneOf, option, runBench } from '../bench.js';

/** Of the checkpoints of SDXL and of Stable Diffusion alike. */
const vaeConfig = {
  block_out_channels: [128, 256, 512, 512],
  down_block_types: Array(4).fill('DownEncoderBlock2D'),
  latent_channels: 4,
  layers_per_block: 2,
  sample_size: 1024,
  scaling_factor: 0.13025,
  up_block_types: Array(4).fill('UpDecoderBlock2D'),
};
const config = readAutoencoderKLConfig(vaeConfig);
const device = openDevice();
const MEGABYTE = 1e6;

const options = {
  half: option(oneOf(['decode', 'encode']), 'what the VAE does', 'decode'),
  image_size: option(integer(), 'side of the picture in pixels', 512),
  ranks: option(integers(), 'numbers of ranks', [1, 2, 4]),
  vae: option(oneOf(['parallel', 'tiled']), 'whole pictures in bands of rows, or tiles', 'parallel'),
  tile_size: option(integer(), 'side of a tile in pixels', 512),
  weights: option(oneOf(['shared', 'private']), 'how ranks hold their weights', 'shared'),
};

await runBench(
  {
    name: 'vae',
    text:
      'What the VAE of public checkpoints (random weights) takes on N ranks: seconds, how far the private ' +
      'memory of the rank with most rises above what it was when the VAE was loaded, and what a rank ' +
      'publishes for others. `x N` is that memory times N, against 1 rank.',
    options,
  },
  async ({ half, image_size: size, ranks, vae, tile_size: tile, weights }, signal) => {
    const folder = await mkdtemp(join(tmpdir(), 'distri-bench-'));
    try {
      const task = await makeTask(folder, half, size);
      const tilePixels = vae === 'tiled' ? tile : undefined;
      const job = { directory: await makeCheckpoint(folder), task, tilePixels, weights };
      const work = { device, half, config, size: { rows: size, columns: size }, worldSize: 1 } as const;
      const { bytes } = planVae(tilePixels === undefined ? 'rank0' : 'tiled', work, tile);
      const how = tilePixels === undefined ? 'whole' : `tiles of ${tilePixels} px`;
      const estimate = `activations of 1 rank by the graph: ${megabytes(bytes)} MB`;
      console.log(`${half} ${size} x ${size} px, ${how}, ${weights} weights; ${estimate}`);
      const measured: Measured[] = [];
      for (const count of ranks) measured.push(await measure(job, count, signal));
      for (const line of rowsOf(measured)) console.log(line);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);

/** A checkpoint whose VAE has random weights; the rest is that of the embedded model. */
async function makeCheckpoint(folder: string): Promise<string> {
  const directory = join(folder, 'model');
  await mkdir(join(directory, 'vae'), { recursive: true });
  for (const part of ['text_encoder', 'text_encoder_2', 'tokenizer', 'tokenizer_2', 'unet', 'scheduler']) {
    await symlink(join(embeddedModel, part), join(directory, part));
  }
  await symlink(join(embeddedModel, 'model_index.json'), join(directory, 'model_index.json'));
  await writeFile(join(directory, 'vae', 'config.json'), JSON.stringify(vaeConfig));
  const plan = new WeightPlan();
  const layers = () => new SingleDevice(device.kernels(new Graph(device.elementType)), plan);
  new AutoencoderKLDecoder(config, layers()).build({ batch: 1, rows: 8, columns: 8 });
  new AutoencoderKLEncoder(config, layers()).build({ batch: 1, height: 64, width: 64 });
  await writeRandomWeights(join(directory, 'vae', 'diffusion_pytorch_model.safetensors'), plan.entries);
  return directory;
}

async function makeTask(folder: string, half: 'decode' | 'encode', size: number): Promise<VaeJob['task']> {
  const input = join(folder, 'input.safetensors');
  const generator = new TorchGenerator(0n);
  if (half === 'decode') {
    await writeSafetensors(input, { latents: generator.randn([1, 4, size / 8, size / 8]) });
    return { kind: 'decode', input, tensor: 'latents', images: [], decoded: undefined };
  }
  const noise = generator.rand([1, size, size, 3]);
  const pixels = uint8(
    noise.shape,
    Uint8Array.from(noise.data, (value) => 255 * value),
  );
  await writeSafetensors(input, { pixels });
  return { kind: 'encode', input, latents: join(folder, 'latents.safetensors'), sample: undefined };
}

interface Measured {
  readonly ranks: number;
  readonly seconds: number;
  /** Bytes of the rank with most. */
  readonly peak: number;
  readonly published: number;
}

interface MeasuredJob {
  readonly directory: string;
  readonly task: VaeJob['task'];
  /** Undefined for whole pictures. */
  readonly tilePixels: number | undefined;
  readonly weights: WeightsMode;
}

async function measure(
  { directory, task, tilePixels, weights }: MeasuredJob,
  ranks: number,
  signal: AbortSignal,
): Promise<Measured> {
  const cpus = availableCpus();
  const threads = Math.max(1, Math.floor(cpus.count / ranks));
  const group = await RankGroup.launch<NamedJob, unknown>({
    worldSize: ranks,
    entry: rankEntry,
    cpus: shareCpus(cpus, ranks, threads),
    timeout: 600_000,
    interruption: signal,
    log: (_rank, line) => console.error(line),
  });
  try {
    const vae = { parallel: ranks > 1, tilePixels };
    const load = { directory, variant: undefined, device: referenceDevice, weights, threads, vae };
    const reports = await runJob(group, 'vae', { load, task });
    const [{ timings }] = reports as readonly [VaeReport];
    return {
      ranks,
      seconds: (timings.phases[task.kind] as number) / 1000,
      peak: Math.max(...reports.map((report) => report.peak)),
      published: Math.max(...reports.map((report) => report.published)),
    };
  } finally {
    await group.close();
  }
}

function rowsOf(measured: readonly Measured[]): string[] {
  const single = measured.find(({ ranks }) => ranks === 1);
  const rows = measured.map(({ ranks, seconds, peak, published }) => [
    String(ranks),
    seconds.toFixed(2),
    megabytes(peak),
    (published / MEGABYTE).toFixed(1),
    single === undefined ? '' : ((peak * ranks) / single.peak).toFixed(3),
  ]);
  return table(['ranks', 'seconds', 'peak of a rank, MB', 'published, MB', 'x N'], rows);
}

function megabytes(bytes: number): string {
  return (bytes / MEGABYTE).toFixed(0);
}
