import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { SafetensorsFile, writeSafetensors } from '../checkpoint/formats/safetensors.js';
import type { CommunicatorStatistics } from '../engine/addon.js';
import { type Device, openDevice } from '../engine/device.js';
import { openCheckpoint } from '../families/open-checkpoint.js';
import { writePng } from '../images/png.js';
import { PeakMeter } from '../machine/memory-use.js';
import { type AutoencoderKLConfig, readAutoencoderKLConfig } from '../models/autoencoder-kl.js';
import { SlotTable } from '../parallel/slots.js';
import { executableOptions, type LoadOptions } from '../pipelines/load-options.js';
import { LatentDecoder, toPixels } from '../pipelines/vae/decoder.js';
import {
  fromPixels,
  type LatentDistribution,
  LatentEncoder,
  sampleLatents,
  scaleLatents,
} from '../pipelines/vae/encoder.js';
import { placeVae, type VaePlacement } from '../pipelines/vae/placement.js';
import type { ProgressListener } from '../ranks/progress.js';
import type { RankContext } from '../ranks/rank-context.js';
import { createGenerator, type RngName } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { PhaseClock, type Timings } from './observe/phase-clock.js';

/** Latents to pictures. */
export interface DecodeTask {
  readonly kind: 'decode';
  /** File with the tensor `[images, channels, rows, columns]`, as the UNet knows latents. */
  readonly input: string;
  readonly tensor: string;
  /** A PNG per image, or none. */
  readonly images: readonly string[];
  /** For the tensor `decoded` `[images, 3, height, width]`, about -1…1. */
  readonly decoded: string | undefined;
}

/** Pictures to latents. */
export interface EncodeTask {
  readonly kind: 'encode';
  /** File with the tensor `pixels` `[images, height, width, 3]`, 0…255. */
  readonly input: string;
  /** For the tensor `latents`, as the UNet knows them. */
  readonly latents: string;
  /** Draws from the latents' distribution instead of taking its mean. */
  readonly sample: { readonly seed: bigint; readonly rng: RngName } | undefined;
}

/** What the ranks of a `VaeJob` do alone, without a pipeline around it. */
export interface VaeJob {
  readonly load: Pick<LoadOptions, 'directory' | 'variant' | 'device' | 'weights' | 'threads' | 'vae'>;
  readonly task: DecodeTask | EncodeTask;
}

/** How it went on one rank. */
export interface VaeReport {
  readonly timings: Timings;
  readonly statistics: CommunicatorStatistics | undefined;
  /** Bytes that this rank publishes for one picture. */
  readonly published: number;
  /**
   * Bytes by which its private memory rose while the VAE ran: activations and what decoding needs besides.
   */
  readonly peak: number;
}

/** Decodes or encodes on this rank, together with the others. */
export async function runVaeJob(
  { load, task }: VaeJob,
  ranks: RankContext,
  listener: ProgressListener,
): Promise<VaeReport> {
  const clock = new PhaseClock(listener);
  const slots = new SlotTable(ranks.worldSize);
  const placement = placeVae(load.vae, ranks, slots);
  if (!placement) return { timings: clock.timings, statistics: undefined, published: 0, peak: 0 };
  clock.phase('load', 'start');
  const checkpoint = await openCheckpoint(load.directory, { variant: load.variant });
  const config = readAutoencoderKLConfig(await checkpoint.config('vae'));
  const device = openDevice(load.device);
  const work = { device, checkpoint, config, placement, ranks, load, clock };
  const measured = task.kind === 'decode' ? await decodeFile(task, work) : await encodeFile(task, work);
  return { timings: clock.timings, ...measured, published: slots.total(ranks.rank) };
}

type Measured = Pick<VaeReport, 'statistics' | 'peak'>;

interface Work {
  readonly device: Device;
  readonly checkpoint: Checkpoint;
  readonly config: AutoencoderKLConfig;
  readonly placement: VaePlacement;
  readonly ranks: RankContext;
  readonly load: VaeJob['load'];
  readonly clock: PhaseClock;
}

async function decodeFile(task: DecodeTask, work: Work): Promise<Measured> {
  const { device, checkpoint, config, placement, clock } = work;
  const latents = (await readTensor(task.input, task.tensor)) as Tensor<'float32'>;
  const [rows, columns] = latents.shape.slice(2) as [number, number];
  const decoder = await LatentDecoder.prepare(device, checkpoint, config, { rows, columns }, placement);
  return withLoaded(decoder, work, async () => {
    clock.phase('decode', 'start');
    const decoded = await decoder.decode(latents, tileProgress(clock));
    clock.phase('decode', 'end');
    if (decoded) await writeDecoded(task, decoded);
  });
}

async function writeDecoded(
  { images, decoded: path }: DecodeTask,
  decoded: Tensor<'float32'>,
): Promise<void> {
  const pixels = images.length > 0 ? toPixels(decoded) : undefined;
  for (const [index, image] of images.entries()) {
    if (pixels) await writePng(image, pixels, index, []);
  }
  if (path !== undefined) await writeTensors(path, { decoded });
}

async function encodeFile(task: EncodeTask, work: Work): Promise<Measured> {
  const { device, checkpoint, config, placement, clock } = work;
  const pixels = fromPixels((await readTensor(task.input, 'pixels')) as Tensor<'uint8'>);
  const [height, width] = pixels.shape.slice(2) as [number, number];
  const encoder = await LatentEncoder.prepare(device, checkpoint, config, { height, width }, placement);
  return withLoaded(encoder, work, async () => {
    clock.phase('encode', 'start');
    const distribution = await encoder.encode(pixels, tileProgress(clock));
    clock.phase('encode', 'end');
    if (distribution)
      await writeTensors(task.latents, { latents: chooseLatents(distribution, task, config) });
  });
}

function chooseLatents(
  distribution: LatentDistribution,
  { sample }: EncodeTask,
  config: AutoencoderKLConfig,
): Tensor<'float32'> {
  const { mean } = distribution;
  if (!sample) return scaleLatents(mean, config);
  const noise = createGenerator(sample.rng, sample.seed).randn(mean.shape);
  return scaleLatents(sampleLatents(distribution, noise), config);
}

/** Meets the other ranks, loads `half` and uses it. */
async function withLoaded(
  half: LatentDecoder | LatentEncoder,
  { ranks, load, placement, clock }: Work,
  use: () => Promise<void>,
): Promise<Measured> {
  const shared = placement.place.worldSize > 1;
  const communicator = shared ? await ranks.connect('vae', placement.slots.specs) : undefined;
  try {
    await half.load({ ...executableOptions(load, ranks), communicator });
    clock.phase('load', 'end');
    const meter = new PeakMeter();
    try {
      await use();
    } finally {
      meter.stop();
    }
    return { statistics: communicator?.statistics(), peak: meter.stop() };
  } finally {
    half.release();
    communicator?.close();
  }
}

function tileProgress(clock: PhaseClock): (done: number, total: number) => void {
  return (done, total) => clock.step(done - 1, total);
}

async function readTensor(path: string, name: string): Promise<Tensor> {
  return (await SafetensorsFile.open(path)).read(name);
}

async function writeTensors(path: string, tensors: Parameters<typeof writeSafetensors>[1]): Promise<void> {
  await writeSafetensors(path, tensors);
}
