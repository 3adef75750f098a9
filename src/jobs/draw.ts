import { writeSafetensors } from '../checkpoint/formats/safetensors.js';
import type { CommunicatorStatistics } from '../engine/addon.js';
import { loadPipeline, type PipelineSpec } from '../families/load-pipeline.js';
import { type PngText, writePng } from '../images/png.js';
import type { LatentPipeline } from '../pipelines/latent-pipeline.js';
import type { PartCache } from '../pipelines/part-cache.js';
import type { Generation } from '../pipelines/request.js';
import type { ProgressListener } from '../ranks/progress.js';
import type { RankContext } from '../ranks/rank-context.js';
import type { Tensor } from '../tensor/tensor.js';
import { ExchangeMeter } from './observe/exchange-meter.js';
import { PassingListener } from './observe/passing-listener.js';
import { PhaseClock, type Timings } from './observe/phase-clock.js';
import { TimelineRecorder, type TimelineSpan } from './observe/timeline.js';

/** One call of a pipeline. */
export interface DrawJob extends PipelineSpec {
  readonly results: ResultSink;
  /** Note what each rank does when. */
  readonly timeline?: boolean;
  /** Send the latents of each step along with its progress. */
  readonly stepLatents?: boolean;
}

/** Where results go: into files that the first rank writes, or back to who asked. */
export type ResultSink = ResultFiles | { readonly kind: 'buffers' };

/** What the first rank writes, under names that the parent replaces by the final ones. */
export interface ResultFiles {
  readonly kind: 'files';
  /** One per image, for `outputType: 'pil'`. */
  readonly images: readonly { readonly path: string; readonly text: readonly PngText[] }[];
  /** For `outputType: 'latent'`. */
  readonly latents: string | undefined;
  /** For `request.trace`. */
  readonly trace: string | undefined;
}

/** How a job went on one rank; times are milliseconds. */
export interface DrawReport {
  /** Of the pipeline's call, from text to picture: without loading the models and writing files. */
  readonly latency: number;
  /** From the begin of the job to this report: the models and files as well. */
  readonly endToEnd: number;
  /** Where the time went. */
  readonly timings: Timings;
  /** What each denoising step exchanged; empty on a rank without peers. */
  readonly exchanges: readonly CommunicatorStatistics[];
  /** What the rank did when, for `--timeline` of the command line; a library's calls have none. */
  readonly timeline?: readonly TimelineSpan[];
  /** What the first rank drew, for who asks for it in memory; `PipelineOutput` has it in its own members. */
  readonly generation?: Generation;
}

/** Draws on a rank. The models stay in the cache for the next job, which uses again what it needs of them. */
export async function runDraw(
  job: DrawJob,
  ranks: RankContext,
  listener: ProgressListener,
  cache: PartCache,
): Promise<DrawReport> {
  let pipeline: LatentPipeline | undefined;
  const statistics = () => pipeline?.statistics();
  const clock = new PhaseClock(job.stepLatents ? listener : new WithoutLatents(listener));
  const meter = new ExchangeMeter(statistics, clock);
  const recorder = job.timeline ? new TimelineRecorder(meter, statistics) : undefined;
  pipeline = await loadPipeline(job, ranks, cache, recorder ?? meter);
  const started = performance.now();
  const generation = await pipeline.generate(job.request, recorder ?? meter);
  const latency = performance.now() - started;
  const first = ranks.rank === 0;
  if (first && job.results.kind === 'files') await writeFiles(generation, job.results);
  return {
    latency,
    endToEnd: clock.elapsed,
    timings: clock.timings,
    exchanges: meter.steps,
    ...(recorder ? { timeline: recorder.spans } : {}),
    ...(first && job.results.kind === 'buffers' ? { generation } : {}),
  };
}

/** Latents are sent only where they are wanted. */
class WithoutLatents extends PassingListener {
  override step(step: number, steps: number): void {
    super.step(step, steps);
  }
}

async function writeFiles(generation: Generation, files: ResultFiles): Promise<void> {
  for (const [index, { path, text }] of files.images.entries()) {
    if (generation.images === undefined) throw new Error('the first rank has no images');
    await writePng(path, generation.images, index, text);
  }
  if (files.latents !== undefined) await writeTensors(files.latents, { latents: generation.latents });
  if (files.trace !== undefined) await writeTensors(files.trace, generation.trace ?? {});
}

async function writeTensors(path: string, tensors: Readonly<Record<string, Tensor>>): Promise<void> {
  await writeSafetensors(path, tensors);
}
