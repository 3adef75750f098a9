import { basename, resolve } from 'node:path';
import type { SettledOptions } from '../app/settle.js';
import { expected } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import { embeddedModel } from '../base/package.js';
import type { PictureSize } from '../base/sizes.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import type { DrawOptions } from '../commands/options/draw.js';
import { stageOptions } from '../commands/options/pipefusion.js';
import { pictureSize, wholeUnits } from '../images/picture.js';
import { readAutoencoderKLConfig, vaeScaleFactor } from '../models/autoencoder-kl.js';
import { halvings, readUNet2DConditionConfig } from '../models/unet-2d-condition.js';
import { createParallelism } from '../parallel/registry.js';
import type { Parallelism } from '../parallel/strategy.js';
import { planTopology, type RankRole, type Topology } from '../parallel/topology.js';
import { firstStep } from '../pipelines/denoise/first-step.js';
import type { GenerationRequest, ParallelOptions } from '../pipelines/request.js';
import { createScheduler, schedulerOf } from '../schedulers/registry.js';
import type { ModelFamily } from './family.js';

const EMBEDDED_PROMPT = 'a yellow star on a night sky';
/** The default of distrifuser's scripts/run_sdxl.py. */
const REFERENCE_PROMPT = 'Astronaut in a jungle, cold color palette, muted colors, detailed, 8k';
/** SDXL base's size, for checkpoints that do not say theirs. */
const REFERENCE_SIZE = 1024;

/** Which checkpoint, what people call it, and what to draw with it. */
export interface Subject {
  readonly model: string;
  readonly name: string;
  /** The model is the name of an architecture without a checkpoint. */
  readonly randomWeights: boolean;
  readonly prompts: readonly string[];
}

/** What the ranks will do. */
export interface DrawPlan {
  readonly request: GenerationRequest;
  /** Size of what the VAE decodes. */
  readonly decoded: PictureSize;
  /** How often the model is asked: some schedulers ask more than once in a step. */
  readonly steps: number;
  readonly parallel: ParallelOptions;
  readonly topology: Topology;
  /** Set up for the first rank. */
  readonly parallelism: Pick<Parallelism, 'describe'>;
}

export function chooseSubject(options: DrawOptions, family: ModelFamily): Subject {
  const { random_weights: architecture, pretrained_model_name_or_path: given } = options;
  const prompts = options.prompt;
  if (architecture !== undefined) {
    return { model: architecture, name: architecture, randomWeights: true, prompts: prompts ?? [''] };
  }
  if (given === undefined && !family.embedded) {
    throw expected(`a folder or hub id of a ${family.pipelineClass}`, '--model', given);
  }
  const embedded = given === undefined || resolve(given) === resolve(embeddedModel);
  const model = given ?? embeddedModel;
  return {
    model,
    name: embedded || /^[./]/.test(model) ? basename(resolve(model)) : model,
    randomWeights: false,
    prompts: prompts ?? [embedded ? EMBEDDED_PROMPT : REFERENCE_PROMPT],
  };
}

/** Fits the options to a checkpoint of Stable Diffusion or SDXL; what it can't do is refused here, before anything expensive. */
export async function planSdxl(
  options: SettledOptions,
  subject: Subject,
  checkpoint: Pick<Checkpoint, 'config'>,
): Promise<DrawPlan> {
  const unet = readUNet2DConditionConfig(await checkpoint.config('unet'));
  const factor = vaeScaleFactor(readAutoencoderKLConfig(await checkpoint.config('vae')));
  const native = unet.sampleSize === undefined ? REFERENCE_SIZE : unet.sampleSize * factor;
  const [height, width] = await pictureSides(options, native, factor);
  const { parallel, topology } = parallelOptions(options);
  const schedulerConfig = await checkpoint.config('scheduler');
  const request = plannedRequest(options, subject, { height, width }, schedulerConfig);
  return {
    request,
    steps: plannedSteps(request, schedulerConfig),
    decoded: { height, width },
    parallel,
    topology,
    parallelism: createParallelism({
      topology,
      role: topology.roles[0] as RankRole,
      options: parallel,
      rows: Math.floor(height / factor),
      columns: Math.floor(width / factor),
      halvings: halvings(unet),
    }),
  };
}

/** Height and width: as asked for, those of the picture to begin with as far as whole latents go, or the model's own. */
async function pictureSides(
  { image_size, init_image }: SettledOptions,
  native: number,
  factor: number,
): Promise<readonly [number, number]> {
  const [height = native, width = height] = image_size ?? [];
  if (image_size !== undefined || init_image === undefined) return [height, width];
  const size = wholeUnits(await pictureSize(resolve(init_image)), factor);
  return [size.height, size.width];
}

/** Who the ranks are and how they share a picture. */
export function parallelOptions(options: SettledOptions): Pick<DrawPlan, 'parallel' | 'topology'> {
  const topology = planTopology({
    worldSize: options.nproc_per_node / (options.data_parallel ?? 1),
    guided: options.guidance_scale > 1,
    splitBatch: options.no_split_batch !== true,
  });
  const parallel: ParallelOptions = {
    parallelism: options.parallelism,
    splitScheme: options.split_scheme,
    splitBatch: topology.splitBatch,
    syncMode: options.sync_mode,
    warmupSteps: options.warmup_steps,
    pipefusion: stageOptions(options.parallelism, options),
  };
  return { parallel, topology };
}

/** What the options ask for, at this size. */
export function plannedRequest(
  options: SettledOptions,
  subject: Subject,
  { height, width }: PictureSize,
  schedulerConfig: JsonObject,
): GenerationRequest {
  return {
    prompt: subject.prompts,
    negativePrompt: options.negative_prompt ?? [],
    height,
    width,
    numInferenceSteps: options.num_inference_steps,
    guidanceScale: options.guidance_scale,
    eta: options.eta,
    numImagesPerPrompt: options.num_images_per_prompt,
    initImage:
      options.init_image === undefined
        ? undefined
        : { path: resolve(options.init_image), strength: options.strength ?? 0.75 },
    scheduler: options.scheduler ?? schedulerOf(schedulerConfig),
    seed: options.seed,
    rng: options.rng,
    // Random weights have no VAE.
    outputType: subject.randomWeights ? 'latent' : options.output_type,
    trace: options.trace !== undefined,
  };
}

/** Refuses what the scheduler can't do. */
export function plannedSteps(request: GenerationRequest, schedulerConfig: JsonObject): number {
  const scheduler = createScheduler(request.scheduler, schedulerConfig);
  scheduler.setTimesteps(request.numInferenceSteps);
  return scheduler.timesteps.length - firstStep(request);
}
