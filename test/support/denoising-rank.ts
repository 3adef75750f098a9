/**
 * The program of a rank that denoises with PixArt's transformer, told the text's embeddings instead of
 * encoding text.
 */

import { SafetensorsFile, writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { type DeviceChoice, openDevice } from '../../src/engine/device.js';
import { asFloats } from '../../src/engine/executable.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { pixArt } from '../../src/families/pixart.js';
import { pixArtInputs } from '../../src/families/pixart-conditioner.js';
import { readPixArtTransformer2DConfig } from '../../src/models/pixart-transformer-2d.js';
import type { ParallelOptions } from '../../src/parallel/registry.js';
import type { PatchRows } from '../../src/parallel/strategies/stage-plan.js';
import { planTopology } from '../../src/parallel/topology.js';
import { guidanceRows, repeatRows } from '../../src/pipelines/conditioning.js';
import { loadLoop } from '../../src/pipelines/denoise/load-loop.js';
import type { LatentLoop } from '../../src/pipelines/denoise/loop.js';
import { StageDenoiser } from '../../src/pipelines/denoise/stage-denoiser.js';
import { type GenerationRequest, imageCount } from '../../src/pipelines/request.js';
import type { ProgressListener } from '../../src/ranks/progress.js';
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
  readonly device: DeviceChoice;
  /** How often the request is drawn; the trace is of the last time. */
  readonly times: number;
  /** Where the first rank writes what `--trace` would. */
  readonly trace: string;
  /**
   * Each rank writes what its stage made of each part of the last time to this path and its number, as
   * `step_0/from_row_2`, in rows of patches.
   */
  readonly stageResults?: string;
}

/** What a rank exchanged. */
export interface DenoisingReport extends StepBytes {
  /** Of each step of the last time. */
  readonly steps: readonly StepBytes[];
}

export interface StepBytes {
  readonly published: number;
  readonly fetched: number;
}

/** What the stage made of each part, seen where it leaves the model. */
let stageResults: Record<string, Tensor> = {};
const runStage = StageDenoiser.prototype.run;
StageDenoiser.prototype.run = async function (part, inputs, step) {
  const result = await runStage.call(this, part, inputs, step);
  const { start } = part.lanes[0] as PatchRows;
  stageResults[`step_${step.call}/from_row_${start}`] = float32(result.shape, asFloats(result).data.slice());
  return result;
};

serveJobs<DenoisingJob, DenoisingReport>(async (job, ranks, listener) => {
  const { request, parallel } = job;
  stageResults = {};
  const checkpoint = await openCheckpoint(job.directory);
  const outline = await pixArt.outline(checkpoint);
  const { height, width } = request;
  const geometry = pixArt.geometry(outline, { height, width }, request.familyOptions);
  const guided = request.guidanceScale > 1;
  const loop = await loadLoop(request, {
    device: openDevice(job.device),
    model: outline.model,
    weights: await checkpoint.weights('transformer'),
    scheduler: { ...job.schedulerConfig },
    load: { weights: 'shared', threads: 1 },
    ranks,
    topology: planTopology({ worldSize: ranks.worldSize, guided, splitBatch: parallel.splitBatch }),
    parallel,
    latent: geometry.latent,
    textTokens: outline.textTokens,
    images: imageCount(request),
  });
  const transformer = readPixArtTransformer2DConfig(await checkpoint.config('transformer'));
  let last: DenoisingReport = { published: 0, fetched: 0, steps: [] };
  for (let time = 0; time < job.times; time++) {
    const trace: Record<string, Tensor> = {};
    const { embeds, mask } = await readConditioning(job, loop);
    await loop.begin(pixArtInputs(transformer, geometry, embeds, mask));
    const totals = [exchanged(loop)];
    const counting: ProgressListener = {
      phase: (name, event) => listener.phase(name, event),
      step: () => totals.push(exchanged(loop)),
    };
    const latents = await loop.run(request, counting, (name, make) => {
      trace[name] = make();
    });
    const [before] = totals as [StepBytes];
    const steps = totals.slice(1).map((total, index) => difference(total, totals[index] as StepBytes));
    last = { ...difference(exchanged(loop), before), steps };
    if (ranks.rank === 0) await writeSafetensors(job.trace, { ...trace, final_latents: latents });
  }
  if (job.stageResults) await writeSafetensors(`${job.stageResults}${ranks.rank}`, stageResults);
  loop.release();
  return last;
});

function exchanged({ communicator }: LatentLoop): StepBytes {
  const { bytesPublished = 0, bytesFetched = 0 } = communicator?.statistics() ?? {};
  return { published: bytesPublished, fetched: bytesFetched };
}

function difference(after: StepBytes, before: StepBytes): StepBytes {
  return { published: after.published - before.published, fetched: after.fetched - before.fetched };
}

/** This rank's rows. */
async function readConditioning(
  { conditioning, request }: DenoisingJob,
  { topology, role }: LatentLoop,
): Promise<{ embeds: Tensor<'float32'>; mask: Tensor<'float32'> }> {
  const file = await SafetensorsFile.open(conditioning);
  const rows = async (name: string): Promise<Tensor<'float32'>> => {
    const repeated = async (prefix: string) => {
      const { shape, data } = await file.read(`${prefix}${name}`);
      const floats = float32(shape, Float32Array.from(data as Float32Array, Number));
      return repeatRows(floats, request.numImagesPerPrompt);
    };
    const negative = topology.guided ? await repeated('negative_') : undefined;
    return guidanceRows(await repeated(''), negative, role);
  };
  return { embeds: await rows('prompt_embeds'), mask: await rows('prompt_attention_mask') };
}
