import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { table } from '../../src/commands/output/table.js';
import { openDevice, referenceDevice } from '../../src/engine/device.js';
import { type NamedJob, rankEntry, runJob } from '../../src/jobs/jobs.js';
import type { VaeJob, VaeReport } from '../../src/jobs/vae.js';
import { availableCpus, shareCpus } from '../../src/machine/cpus.js';
import type { WeightsMode } from '../../src/machine/memory.js';
import { planVae } from '../../src/pipelines/vae/plan.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import { TorchGenerator } from '../../src/tensor/random-torch.js';
import { uint8 } from '../../src/tensor/tensor.js';
import { integer, integers, oneOf, option, runBench } from '../bench.js';
import { makeVaeCheckpoint, vaeConfig } from './checkpoint.js';

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
      const job = { directory: await makeVaeCheckpoint(folder), task, tilePixels, weights };
      const work = {
        device,
        half,
        config: vaeConfig,
        size: { rows: size, columns: size },
        worldSize: 1,
      } as const;
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
