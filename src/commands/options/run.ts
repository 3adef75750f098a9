import { type Command, Option } from 'commander';
import type { DrawCall, ModelOptions as OpenOptions, SetupOptions } from '../../app/options.js';
import { DistriError, expected } from '../../base/errors.js';
import type { Family } from '../../families/family.js';
import type { VaeMode } from '../../pipelines/vae/plan.js';
import { addBenchmarkOptions, type BenchmarkOptions, checkBenchmarkOptions } from './benchmark.js';
import { addModelOptions, type ModelOptions } from './model.js';
import { addOutputOptions, checkOutputOptions, type OutputOptions } from './output.js';
import { addParallelOptions, givenStrategyOptions, type ParallelOptions } from './parallel.js';
import {
  addPictureOptions,
  checkPictureOptions,
  type DenoisingOptions,
  givenFamilyOptions,
  type PictureOptions,
  sizeOf,
} from './picture.js';
import { addRanksOptions, checkRanksOptions, type RanksOptions } from './ranks.js';
import { vaeOption } from './vae.js';

/** What all commands that draw with a pipeline are told of it, as commander collects it. */
export interface DrawOptions extends ModelOptions, DenoisingOptions, RanksOptions, ParallelOptions {
  readonly vae: VaeMode;
  readonly no_cuda_graph?: true;
}

/** The options of `run-<family>`. */
export interface RunOptions extends DrawOptions, PictureOptions, OutputOptions, BenchmarkOptions {}

export function addRunOptions(command: Command, family: Family): Command {
  addModelOptions(command, family.embedded !== undefined);
  addPictureOptions(command, family);
  addOutputOptions(command);
  addRanksOptions(command);
  addParallelOptions(command, family).addOption(vaeOption());
  return addCompatibilityOptions(addBenchmarkOptions(command, family));
}

export function addCompatibilityOptions(command: Command): Command {
  return command
    .optionsGroup('Accepted for compatibility:')
    .addOption(new Option('--no_cuda_graph', 'has no effect on a CPU'));
}

/** Refuses what the options do not allow together; looks at nothing but the options. */
export function checkRunOptions(options: RunOptions): void {
  checkBenchmarkOptions(options);
  checkPictureOptions(options);
  checkRanksOptions(options);
  checkOutputOptions(options);
  if (options.random_weights !== undefined && options.init_image !== undefined) {
    throw new DistriError('usage', '--random_weights has no VAE; leave out --init_image');
  }
  if (options.mode === 'benchmark' && options.trace !== undefined) {
    throw new DistriError('usage', '--trace would slow the benchmark down; use one of them');
  }
  if (!drawsPromptsSingly(options)) return;
  if (options.mode === 'benchmark') {
    throw new DistriError(
      'usage',
      '--mode benchmark measures one call; leave out --prompts and --data_parallel',
    );
  }
  for (const name of ['trace', 'timeline'] as const) {
    if (options[name] === undefined) continue;
    throw new DistriError('usage', `--${name} is of one call; leave out --prompts and --data_parallel`);
  }
}

/** Each prompt is a call of the pipeline of its own. */
export function drawsPromptsSingly({
  prompts,
  data_parallel,
}: Pick<RunOptions, 'prompts' | 'data_parallel'>): boolean {
  return prompts !== undefined || data_parallel !== undefined;
}

/** What a pipeline of `family` is opened for. */
export function modelOf(
  options: ModelOptions & Partial<BenchmarkOptions>,
  { embedded, title, pipelineClass }: Family,
): { readonly model: string } & OpenOptions {
  const { random_weights, pretrained_model_name_or_path, variant, revision } = options;
  if (random_weights !== undefined) return { model: random_weights, randomWeights: true };
  const model = pretrained_model_name_or_path ?? embedded?.model;
  if (model === undefined) {
    throw expected(`a folder or hub id of ${title} (${pipelineClass})`, '--model', model);
  }
  return { model, variant, revision };
}

/** How the model is spread over ranks. */
export function setupOf(options: DrawOptions): SetupOptions {
  return {
    ranks: options.nproc_per_node,
    dataParallel: options.data_parallel,
    threads: options.threads,
    weights: options.weights,
    dtype: options.dtype,
    engine: options.engine,
    parallelism: options.parallelism,
    splitBatch: !options.no_split_batch,
    useCfgParallel: options.use_cfg_parallel,
    vae: options.vae,
    commTimeout: options.comm_timeout,
    ...givenStrategyOptions(options),
  };
}

/** How a picture is drawn. */
export function denoisingOf(options: DenoisingOptions, family: Family): DrawCall {
  return {
    negativePrompt: options.negative_prompt,
    ...sizeOf(options),
    numInferenceSteps: options.num_inference_steps,
    guidanceScale: options.guidance_scale,
    scheduler: options.scheduler,
    eta: options.eta,
    rng: options.rng,
    ...givenFamilyOptions(options, family),
  };
}

/** What is drawn, and how. */
export function callOf(options: RunOptions, family: Family): DrawCall {
  return {
    ...denoisingOf(options, family),
    prompt: options.prompt,
    seed: options.seed,
    numImagesPerPrompt: options.num_images_per_prompt,
    initImage: options.init_image,
    strength: options.strength,
    outputType: options.output_type,
    trace: options.trace !== undefined,
  };
}
