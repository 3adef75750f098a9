import { resolve } from 'node:path';
import { DistriError, expected } from '../base/errors.js';
import { camelCase, checkOption, type OptionValue } from '../base/option-spec.js';
import { type PictureSize, sizeOr } from '../base/sizes.js';
import { chooseDevice, type Device, type DeviceChoice, openDevice } from '../engine/device.js';
import type { Family } from '../families/family.js';
import { syntheticFolder } from '../families/synthetic.js';
import { pictureSize, wholeUnits } from '../images/picture.js';
import { planWeights } from '../machine/memory.js';
import {
  completeOptions,
  describeMode,
  type ParallelOptions,
  refuseForeignOptions,
  requireStrategy,
  type StrategyName,
  strategyOf,
} from '../parallel/registry.js';
import type { SharedModel } from '../parallel/strategy.js';
import { planTopology, type RankRole, type Topology } from '../parallel/topology.js';
import { firstStep } from '../pipelines/denoise/first-step.js';
import { plannedScheduler } from '../pipelines/denoise/planned-scheduler.js';
import { checkThresholding } from '../pipelines/denoise/stage-loop.js';
import type { Geometry } from '../pipelines/geometry.js';
import { firstRankVae, type LoadOptions, type VaeSpread } from '../pipelines/load-options.js';
import {
  type GenerationRequest,
  guidanceOf,
  type InitImage,
  imageCount,
  outputTypes,
} from '../pipelines/request.js';
import { planVae } from '../pipelines/vae/plan.js';
import {
  type SchedulerName,
  schedulerNames,
  schedulerOf,
  schedulers,
  schedulersFor,
} from '../schedulers/registry.js';
import { type RngName, rngNames, seedOf } from '../tensor/random.js';
import { checkPrompt } from '../tokenizers/prompt.js';
import { drawnSize } from './drawn-size.js';
import type { OpenModel } from './model.js';
import type { Observer } from './observer.js';
import type { DrawCall, SetupOptions } from './options.js';
import { settleStrategy } from './settle.js';
import { defaultRanks, type PlanContext, ranksPerGroup, requireInteger, threadsPerRank } from './setup.js';
import { denoiserBytes } from './weights.js';

/** What ranks will do for one call, settled before anything expensive. */
export interface DrawPlan {
  /** The model's name. */
  readonly model: string;
  /** The call, with defaults for what it does not say. */
  readonly request: GenerationRequest;
  /** How large latents and pictures are on the way. */
  readonly geometry: Geometry;
  /** How often the model is asked: some schedulers ask more than once in a step. */
  readonly steps: number;
  /** The strategy and what it is told. */
  readonly parallel: ParallelOptions;
  /** Which rank has which part of the guidance's batch, and which band. */
  readonly topology: Topology;
  /** From where and how each rank loads the model. */
  readonly load: LoadOptions;
  /** By rank: "whole batch, latent rows 1 to 16 of 32". */
  readonly shares: readonly string[];
  /** Such as "displaced patches, corrected_async_gn, 5 synchronous steps, then stale". */
  readonly mode: string;
}

/** Fits a call to a model and its ranks; what can't be done is refused here. */
export async function planDrawing(
  model: OpenModel,
  setup: SetupOptions,
  call: DrawCall,
  context: PlanContext,
): Promise<DrawPlan> {
  const device = openChosen(setup, context);
  const size = drawnSize(model.family, await chooseSize(model, call), context.observer);
  const request = planRequest(model, call, size);
  const geometry = model.family.geometry(model.outline, size, request.familyOptions);
  const scheduler = plannedScheduler(request, {
    scheduler: model.scheduler,
    model: model.outline.model,
    latent: geometry.latent,
  });
  const { opened } = device;
  const image = { device: opened, geometry, images: imageCount(request) };
  const settled = await settleStrategy(model, setup, request, image, context);
  const topology = planTopology({
    worldSize: ranksPerGroup(setup),
    guided: guidanceOf(request) !== undefined,
    splitBatch: settled.splitBatch ?? true,
  });
  const parallel = planStrategy(model, settled, topology);
  const shared = { ...model.outline.model, latent: geometry.latent };
  const steps = scheduler.timesteps.length - firstStep(request);
  const { shares, options } = shareOut(parallel, topology, shared, model.scheduler);
  return {
    model: model.name,
    request,
    geometry,
    steps,
    parallel: options,
    topology,
    load: await planLoad(model, setup, device, geometry, request, context),
    shares,
    mode: describeMode(options, topology, steps),
  };
}

interface ChosenDevice {
  readonly choice: DeviceChoice;
  readonly opened: Device;
}

function openChosen(setup: SetupOptions, { simdLevel }: PlanContext): ChosenDevice {
  const choice = chooseDevice(setup, simdLevel);
  return { choice, opened: openDevice(choice) };
}

/**
 * Height and width, each as asked for, that of the picture to begin with as far as whole latents go, or the
 * model's own.
 */
async function chooseSize(
  { outline }: OpenModel,
  { height, width, initImage }: DrawCall,
): Promise<PictureSize> {
  if (initImage === undefined || (height !== undefined && width !== undefined)) {
    return sizeOr(outline.native, { height, width });
  }
  return sizeOr(wholeUnits(await pictureSize(initImage), outline.factor), { height, width });
}

function planRequest(model: OpenModel, call: DrawCall, { height, width }: PictureSize): GenerationRequest {
  const { family, source } = model;
  const { defaults } = family;
  const prompt = listOf(call.prompt ?? model.prompt);
  const negativePrompt = call.negativePrompt === undefined ? [] : listOf(call.negativePrompt);
  if (prompt.length === 0) throw expected('at least one', 'the prompt', 'none');
  const options = familyOptions(model, call, prompt.length);
  for (const text of prompt) checkPrompt(text);
  checkTexts('the negative prompt', negativePrompt, prompt.length);
  const request: GenerationRequest = {
    prompt,
    negativePrompt,
    height,
    width,
    numInferenceSteps: call.numInferenceSteps ?? defaults.numInferenceSteps,
    guidanceScale: call.guidanceScale ?? defaults.guidanceScale,
    eta: call.eta ?? 0,
    numImagesPerPrompt: call.numImagesPerPrompt ?? 1,
    scheduler: call.scheduler ?? defaults.scheduler ?? schedulerOf(model.scheduler),
    seed: seedOf(call.seed ?? 1234, 'the seed'),
    rng: call.rng ?? 'cpu',
    initImage: planInitImage(model, call),
    // Random weights have no VAE.
    outputType: source.kind === 'random' ? 'latent' : (call.outputType ?? 'pil'),
    trace: call.trace ?? false,
    familyOptions: options,
    trueCfgScale: family.trueCfgScale?.({ negativePrompt, familyOptions: options }),
  };
  checkRequest(request, family);
  return request;
}

function checkRequest(
  { numInferenceSteps, guidanceScale, eta, numImagesPerPrompt, ...request }: GenerationRequest,
  family: Family,
): void {
  requireInteger(numInferenceSteps, 'the number of steps', 1, 100_000);
  requireInteger(numImagesPerPrompt, 'the pictures for each prompt', 1, 100_000);
  if (!Number.isFinite(guidanceScale)) throw expected('a number', 'the guidance scale', guidanceScale);
  if (!(eta >= 0 && eta <= 1)) throw expected('a number from 0 to 1', 'eta', eta);
  requireOneOf(request.scheduler, schedulerNames satisfies readonly SchedulerName[], 'the scheduler');
  requireScheduler(request.scheduler, family);
  requireOneOf(request.rng, rngNames satisfies readonly RngName[], 'the generator');
  requireOneOf(request.outputType, outputTypes, 'the output type');
}

/** Refuses schedulers that go by what the family's models do not predict. */
function requireScheduler(name: SchedulerName, { title, predicts }: Family): void {
  const fitting = schedulersFor(predicts);
  if (fitting.includes(name)) return;
  throw new DistriError(
    'unsupported',
    `--scheduler ${name} follows the ${schedulers[name].follows} that a model predicts, and ${title} predicts the ` +
      `${predicts}; ${fitting.join(', ')} would work`,
  );
}

function planInitImage(
  { family, source }: OpenModel,
  { initImage, strength = 0.75 }: DrawCall,
): InitImage | undefined {
  if (initImage === undefined) return undefined;
  if (!family.imageToImage) {
    throw new DistriError(
      'unsupported',
      `${family.title} has no image to image; leave the picture to begin with out`,
    );
  }
  if (source.kind === 'random') {
    throw new DistriError('usage', 'random weights have no VAE; leave the picture to begin with out');
  }
  if (!(strength > 0 && strength <= 1))
    throw expected('a number above 0, at most 1', 'the strength', strength);
  return { picture: typeof initImage === 'string' ? resolve(initImage) : initImage, strength };
}

/** Refuses texts that are neither one for all prompts nor one for each. */
function checkTexts(what: string, texts: readonly string[], prompts: number): void {
  if (texts.length > 1 && texts.length !== prompts) {
    throw expected(`one, or as many as prompts (${prompts}),`, what, texts.length);
  }
  for (const text of texts) checkPrompt(text);
}

/** What a call says of the family's own options, and their defaults. */
function familyOptions(
  { family }: OpenModel,
  call: DrawCall,
  prompts: number,
): Readonly<Record<string, OptionValue>> {
  const values: Record<string, OptionValue> = {};
  for (const spec of family.options) {
    const name = camelCase(spec.name);
    const given = (call as Readonly<Record<string, unknown>>)[name];
    checkOption(spec, given);
    if (spec.takes.type === 'texts' && Array.isArray(given)) checkTexts(`--${spec.name}`, given, prompts);
    const value = given ?? spec.default;
    if (value !== undefined) values[name] = value as OptionValue;
  }
  return values;
}

function planStrategy(
  { outline, family }: OpenModel,
  setup: SetupOptions & { readonly parallelism: StrategyName },
  topology: Topology,
): ParallelOptions {
  const { parallelism } = setup;
  requireStrategy(parallelism, outline.model);
  refuseForeignOptions(parallelism, setup);
  checkGuidance(setup, topology, family);
  return { ...completeOptions(parallelism, setup), parallelism, splitBatch: topology.splitBatch };
}

function checkGuidance(
  { useCfgParallel, splitBatch }: SetupOptions,
  topology: Topology,
  { trueCfgScale }: Family,
): void {
  const guidanceOption = trueCfgScale ? 'true_cfg_scale' : 'guidance_scale';
  if (!useCfgParallel || topology.splitBatch) return;
  if (splitBatch === false) {
    throw new DistriError(
      'usage',
      '--use_cfg_parallel and --no_split_batch exclude each other; use one of them',
    );
  }
  if (!topology.guided) {
    throw new DistriError(
      'usage',
      `--use_cfg_parallel needs guidance; a --${guidanceOption} above 1 would work`,
    );
  }
  throw expected('an even number of ranks per image', '--use_cfg_parallel', topology.worldSize);
}

const guidanceTexts = {
  both: 'whole batch',
  unconditional: 'unconditional half of the batch',
  conditional: 'conditional half of the batch',
} as const;

/** What each rank has, set up as the ranks will, and options with what follows from that. */
function shareOut(
  options: ParallelOptions,
  topology: Topology,
  model: SharedModel,
  scheduler: OpenModel['scheduler'],
): { shares: readonly string[]; options: ParallelOptions } {
  const strategy = strategyOf(options);
  const text = (role: RankRole, share: string) => `${guidanceTexts[role.guidance]}, ${share}`;
  if (strategy.kind === 'stages') {
    const plan = strategy.plan({ topology, options, model });
    checkThresholding(scheduler, plan);
    return {
      shares: topology.roles.map((role) => text(role, strategy.describe(plan, role))),
      options: { ...options, numPipelinePatch: plan.bands.length },
    };
  }
  const role = topology.roles[0] as RankRole;
  const parallelism = strategy.create({ topology, role, options, model });
  return { shares: topology.roles.map((other) => text(other, parallelism.describe(other))), options };
}

/** How each rank holds its weights, with how many threads it computes, and who runs the VAE. */
async function planLoad(
  model: OpenModel,
  setup: SetupOptions,
  { choice, opened }: ChosenDevice,
  geometry: Geometry,
  { outputType, initImage }: GenerationRequest,
  { observer, cpus }: PlanContext,
): Promise<LoadOptions> {
  const { source, family, variant } = model;
  const { ranks = defaultRanks(), weights = 'auto' } = setup;
  const random = source.kind === 'random';
  const threads = threadsPerRank(setup, cpus);
  let mode = opened.sharesWeights ? 'shared' : weights;
  if (mode === 'auto') {
    const planned = planWeights((await denoiserBytes(model, opened)) * ranks, opened.freeBytes());
    observer.detail(`weights ${planned.mode}: ${planned.reason}`);
    mode = planned.mode;
  }
  const needsVae = !random && (outputType === 'pil' || initImage !== undefined);
  return {
    family: family.name,
    directory: random ? syntheticFolder(source.architecture.name) : source.checkpoint.directory,
    variant,
    synthetic: random,
    device: choice,
    weights: mode,
    threads,
    vae: needsVae ? spreadVae(model, setup, opened, geometry, observer) : firstRankVae,
  };
}

/** What `--vae` means for these pictures. */
function spreadVae(
  { outline }: OpenModel,
  setup: SetupOptions,
  device: Device,
  { decoded }: Geometry,
  observer: Observer,
): VaeSpread {
  const { vae: mode = 'auto' } = setup;
  if (outline.vae === undefined) return firstRankVae;
  const size = { rows: decoded.height, columns: decoded.width };
  const work = {
    device,
    half: 'decode',
    config: outline.vae,
    size,
    worldSize: ranksPerGroup(setup),
  } as const;
  const { spread, reason } = planVae(mode, work, undefined);
  const line = `VAE: ${reason}`;
  if (mode === 'auto' && spread.tilePixels !== undefined) observer.note(line);
  else observer.detail(line);
  return spread;
}

function listOf(text: string | readonly string[]): readonly string[] {
  return typeof text === 'string' ? [text] : text;
}

function requireOneOf(value: string, values: readonly string[], name: string): void {
  if (!values.includes(value)) throw expected(`one of ${values.join(', ')}`, name, value);
}
