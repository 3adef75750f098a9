import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeSafetensors } from '../checkpoint/safetensors.js';
import { type PngText, writePng } from '../images/png.js';
import type {
  Generation,
  GenerationRequest,
  LoadOptions,
  ParallelOptions,
  ProgressListener,
} from '../pipelines/request.js';
import { StableDiffusionXLPipeline } from '../pipelines/stable-diffusion-xl.js';
import { PhaseClock, type Timings } from './phase-clock.js';
import type { RankContext } from './rank-context.js';

/** A file that the first rank writes, and where it does: in a folder that the parent removes. */
export interface GenerationJob {
  readonly load: LoadOptions;
  readonly request: GenerationRequest;
  readonly parallel: ParallelOptions;
  readonly files: JobFiles;
}

/** What the first rank writes, under names that the parent replaces by the final ones. */
export interface JobFiles {
  /** One per image, for `outputType: 'pil'`. */
  readonly images: readonly { readonly path: string; readonly text: readonly PngText[] }[];
  /** For `outputType: 'latent'`. */
  readonly latents: string | undefined;
  /** For `request.trace`. */
  readonly trace: string | undefined;
}

/** Executed by every rank. Resolves to how long its phases took. */
export async function runJob(
  job: GenerationJob,
  context: RankContext,
  listener: ProgressListener,
): Promise<Timings> {
  const clock = new PhaseClock(listener);
  const generation = await generate(job, context, clock);
  if (context.rank === 0) await writeFiles(generation, job.files);
  return clock.timings;
}

async function generate(
  { load, request, parallel }: GenerationJob,
  context: RankContext,
  listener: ProgressListener,
): Promise<Generation> {
  const pipeline = await StableDiffusionXLPipeline.load(load, context, request, parallel, listener);
  const generation = await pipeline.generate(request, listener);
  await pipeline.close();
  return generation;
}

async function writeFiles(generation: Generation, files: JobFiles): Promise<void> {
  for (const [index, { path, text }] of files.images.entries()) {
    if (generation.images === undefined) throw new Error('the first rank has no images');
    await mkdir(dirname(path), { recursive: true });
    await writePng(path, generation.images, index, text);
  }
  if (files.latents !== undefined) await writeTensors(files.latents, { latents: generation.latents });
  if (files.trace !== undefined) await writeTensors(files.trace, generation.trace ?? {});
}

async function writeTensors(path: string, tensors: Parameters<typeof writeSafetensors>[1]): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeSafetensors(path, tensors);
}
