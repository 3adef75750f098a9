/** The program of a rank that denoises with PixArt's transformer, told the text's embeddings instead of encoding text. */
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { SafetensorsFile, writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { loadAddon } from '../../src/engine/load.js';
import { pixArtNames } from '../../src/models/pixart-transformer-2d.js';
import type { PatchRows } from '../../src/parallel/strategies/stage-plan.js';
import { guidanceRows, repeatRows, tileRows } from '../../src/pipelines/conditioning.js';
import { loadLoop } from '../../src/pipelines/denoise/load-loop.js';
import { StageDenoiser } from '../../src/pipelines/denoise/stage-denoiser.js';
import type { LatentLoop } from '../../src/pipelines/denoise/step-loop.js';
import type { GenerationRequest, ParallelOptions, ProgressListener } from '../../src/pipelines/request.js';
import { serveJobs } from '../../src/ranks/serve.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';

export interface DenoisingJob {
  readonly directory: string;
  /** Takes the place of the checkpoint's. */
  readonly schedulerConfig: Readonly<Record<string, unknown>>;
  /** File of prompt_embeds, prompt_attention_mask, and the same with negative_. */
  readonly conditioning: string;
  readonly request: GenerationRequest;
  readonly parallel: ParallelOptions;
  /** How often the request is drawn; the trace is of the last time. */
  readonly times: number;
  readonly trace: string;
  /** Each rank writes what its stage made of each part of the last time to this path and its number, as `step_0/from_row_2`, in rows of patches. */
  readonly stageResults?: string;
}

/** What a rank has to say of a job. */
export interface DenoisingReport {
  readonly bytesPublished: number;
  /** Of each step of the last time. */
  readonly steps: readonly StepBytes[];
}

export interface StepBytes {
  readonly published: number;
  readonly fetched: number;
}

const TEXT_TOKENS = 120;

/** What the stage made of each part, seen where it leaves the model. */
let stageResults: Record<string, Tensor> = {};
const runStage = StageDenoiser.prototype.run;
StageDenoiser.prototype.run = async function (part, inputs, step) {
  const result = await runStage.call(this, part, inputs, step);
  const { start } = part.lanes[0] as PatchRows;
  stageResults[`step_${step.call}/from_row_${start}`] = float32(result.shape, result.data.slice());
  return result;
};

serveJobs<DenoisingJob, DenoisingReport>(async (job, ranks, listener) => {
  const { request, parallel, directory, schedulerConfig } = job;
  stageResults = {};
  const checkpoint = await openCheckpoint(directory);
  const loop = await loadLoop(request, {
    addon: loadAddon(),
    source: {
      pipelineClass: 'PixArtAlphaPipeline',
      config: async (component) =>
        component === 'scheduler' ? { ...schedulerConfig } : checkpoint.config(component),
      weights: (component) => checkpoint.weights(component),
    },
    load: { directory, variant: undefined, weights: 'shared', threads: 1 },
    ranks,
    parallel,
    latent: { rows: request.height / 8, columns: request.width / 8 },
    textTokens: TEXT_TOKENS,
  });
  let bytesPublished = 0;
  let steps: StepBytes[] = [];
  for (let time = 0; time < job.times; time++) {
    const trace: Record<string, Tensor> = {};
    await loop.begin(await readConditioning(job, loop));
    const before = exchanged(loop);
    const totals = [before];
    const counting: ProgressListener = {
      phase: (name, event) => listener.phase(name, event),
      step: () => totals.push(exchanged(loop)),
    };
    const latents = await loop.run(request, counting, (name, make) => {
      trace[name] = make();
    });
    bytesPublished = exchanged(loop).published - before.published;
    steps = totals.slice(1).map((total, index) => difference(total, totals[index] as StepBytes));
    if (ranks.rank === 0) await writeSafetensors(job.trace, { ...trace, final_latents: latents });
  }
  if (job.stageResults) await writeSafetensors(`${job.stageResults}${ranks.rank}`, stageResults);
  loop.release();
  return { bytesPublished, steps };
});

function exchanged({ communicator }: LatentLoop): StepBytes {
  const { bytesPublished = 0, bytesFetched = 0 } = communicator?.statistics() ?? {};
  return { published: bytesPublished, fetched: bytesFetched };
}

function difference(after: StepBytes, before: StepBytes): StepBytes {
  return { published: after.published - before.published, fetched: after.fetched - before.fetched };
}

async function readConditioning(job: DenoisingJob, loop: LatentLoop): Promise<Record<string, Tensor>> {
  const file = await SafetensorsFile.open(job.conditioning);
  const { numImagesPerPrompt, height, width } = job.request;
  const rows = async (name: string): Promise<Tensor<'float32'>> => {
    const repeated = async (prefix: string) => {
      const { shape, data } = await file.read(`${prefix}${name}`);
      return repeatRows(float32(shape, Float32Array.from(data as Float32Array, Number)), numImagesPerPrompt);
    };
    const negative = loop.topology.guided ? await repeated('negative_') : undefined;
    return guidanceRows(await repeated(''), negative, loop.role);
  };
  const embeds = await rows('prompt_embeds');
  const batch = embeds.shape[0] as number;
  return {
    [pixArtNames.encoderHiddenStates]: embeds,
    [pixArtNames.encoderAttentionMask]: await rows('prompt_attention_mask'),
    [pixArtNames.resolution]: tileRows(float32([1, 2], Float32Array.of(height, width)), batch),
    [pixArtNames.aspectRatio]: tileRows(float32([1, 1], Float32Array.of(height / width)), batch),
  };
}
