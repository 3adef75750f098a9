import { writeSafetensors } from '../checkpoint/formats/safetensors.js';
import type { CommunicatorStatistics } from '../engine/addon.js';
import { PixArtAlphaPipeline } from '../families/pixart-alpha.js';
import { RandomPixArtPipeline } from '../families/random-pixart-pipeline.js';
import { RandomWeightsPipeline } from '../families/random-weights-pipeline.js';
import { StableDiffusionPipeline } from '../families/stable-diffusion.js';
import { type PngText, writePng } from '../images/png.js';
import type {
  Generation,
  GenerationRequest,
  LoadOptions,
  ParallelOptions,
  Pipeline,
  ProgressListener,
} from '../pipelines/request.js';
import type { RankContext } from '../ranks/rank-context.js';
import { ExchangeMeter } from './observe/exchange-meter.js';
import { PhaseClock, type Timings } from './observe/phase-clock.js';
import { TimelineRecorder, type TimelineSpan } from './observe/timeline.js';

/** A file that the first rank writes, and where it does: in a folder that the parent removes. */
export interface GenerationJob {
  readonly load: LoadOptions;
  readonly request: GenerationRequest;
  readonly parallel: ParallelOptions;
  readonly files: JobFiles;
  /** Note what each rank does when. */
  readonly timeline?: boolean;
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

/** How a job went on one rank; times are milliseconds. */
export interface JobReport {
  /** Of the pipeline's call, from text to picture: without loading the models and writing files. */
  readonly latency: number;
  /** From the begin of the job to this report: the models and files as well. */
  readonly endToEnd: number;
  readonly timings: Timings;
  /** What each denoising step exchanged; empty on a rank without peers. */
  readonly exchanges: readonly CommunicatorStatistics[];
  /** Where the job asks for it. */
  readonly timeline?: readonly TimelineSpan[];
}

/** Executes jobs on a rank, one after another. The models stay loaded for the next job, and are used again where it needs the same ones. */
export class JobRunner {
  #loaded: { readonly key: string; readonly pipeline: Pipeline } | undefined;

  async run(job: GenerationJob, context: RankContext, listener: ProgressListener): Promise<JobReport> {
    let pipeline: Pipeline | undefined;
    const statistics = () => pipeline?.statistics();
    const clock = new PhaseClock(listener);
    const meter = new ExchangeMeter(statistics, clock);
    const recorder = job.timeline ? new TimelineRecorder(meter, statistics) : undefined;
    pipeline = await this.#pipeline(job, context, recorder ?? meter);
    const started = performance.now();
    const generation = await pipeline.generate(job.request, recorder ?? meter);
    const latency = performance.now() - started;
    if (context.rank === 0) await writeFiles(generation, job.files);
    return {
      latency,
      endToEnd: clock.elapsed,
      timings: clock.timings,
      exchanges: meter.steps,
      ...(recorder ? { timeline: recorder.spans } : {}),
    };
  }

  /** Releases the models. Not during a job. */
  async close(): Promise<void> {
    await this.#loaded?.pipeline.close();
    this.#loaded = undefined;
  }

  async #pipeline(job: GenerationJob, context: RankContext, listener: ProgressListener): Promise<Pipeline> {
    const { load, request, parallel } = job;
    const key = pipelineKey(job);
    if (this.#loaded?.key === key) return this.#loaded.pipeline;
    await this.close();
    const pipeline = await pipelineKind(load).load(load, context, request, parallel, listener);
    this.#loaded = { key, pipeline };
    return pipeline;
  }
}

function pipelineKind({ randomWeights, pipelineClass }: LoadOptions) {
  if (pipelineClass === 'PixArtAlphaPipeline')
    return randomWeights ? RandomPixArtPipeline : PixArtAlphaPipeline;
  return randomWeights ? RandomWeightsPipeline : StableDiffusionPipeline;
}

/** Equal for jobs that one loaded pipeline can do. */
function pipelineKey({ load, request, parallel }: GenerationJob): string {
  const { height, width, prompt, numImagesPerPrompt, guidanceScale, outputType } = request;
  const { useResolutionBinning, initImage } = request;
  const images = prompt.length * numImagesPerPrompt;
  return JSON.stringify([
    load,
    parallel,
    height,
    width,
    images,
    guidanceScale > 1,
    outputType,
    useResolutionBinning,
    initImage !== undefined,
  ]);
}

async function writeFiles(generation: Generation, files: JobFiles): Promise<void> {
  for (const [index, { path, text }] of files.images.entries()) {
    if (generation.images === undefined) throw new Error('the first rank has no images');
    await writePng(path, generation.images, index, text);
  }
  if (files.latents !== undefined) await writeTensors(files.latents, { latents: generation.latents });
  if (files.trace !== undefined) await writeTensors(files.trace, generation.trace ?? {});
}

async function writeTensors(path: string, tensors: Parameters<typeof writeSafetensors>[1]): Promise<void> {
  await writeSafetensors(path, tensors);
}
