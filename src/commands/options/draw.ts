import { type Command, Option } from 'commander';
import { DistriError, expected } from '../../base/errors.js';
import { type ModelFamily, sdxlFamily } from '../../families/family.js';
import { availableCpus } from '../../machine/cpus.js';
import type { WeightsMode } from '../../machine/memory.js';
import {
  type NaivePositions,
  type ParallelismName,
  type SplitScheme,
  type SyncMode,
  splitSchemes,
  syncModes,
} from '../../pipelines/request.js';
import type { VaeMode } from '../../pipelines/vae/plan.js';
import { type SchedulerName, schedulerNames } from '../../schedulers/registry.js';
import { type RngName, rngNames } from '../../tensor/random.js';
import { integer, number, oneOf, repeated, seed, text } from './parsers.js';
import type { PipeFusionOptions } from './pipefusion.js';
import { vaeOption } from './vae.js';

const modes = ['generation', 'benchmark'] as const;
const outputTypes = ['pil', 'latent'] as const;
const weightsModes = ['auto', 'shared', 'private'] as const;

/** The options of `run-sdxl`, `run-sd` and `run-pixart` as commander collects them. What has no default is undefined when it is not given. */
export interface DrawOptions extends PipeFusionOptions {
  readonly mode: (typeof modes)[number];
  readonly pretrained_model_name_or_path?: string;
  readonly variant?: string;
  readonly revision?: string;
  readonly prompt?: readonly string[];
  readonly prompts?: string;
  readonly negative_prompt?: readonly string[];
  readonly num_images_per_prompt: number;
  /** Not of `run-pixart`, as the next. */
  readonly init_image?: string;
  readonly strength?: number;
  readonly image_size?: readonly number[];
  readonly num_inference_steps: number;
  readonly guidance_scale: number;
  /** Undefined where the checkpoint decides. */
  readonly scheduler?: SchedulerName;
  readonly eta: number;
  readonly seed: bigint;
  readonly rng: RngName;
  readonly output_path?: string;
  readonly output_type: (typeof outputTypes)[number];
  readonly trace?: string;
  readonly timeline?: string;
  readonly nproc_per_node: number;
  readonly data_parallel?: number;
  readonly threads?: number;
  readonly weights: WeightsMode | 'auto';
  readonly comm_timeout: number;
  readonly parallelism: ParallelismName | 'auto';
  readonly sync_mode: SyncMode;
  readonly warmup_steps: number;
  /** What pipefusion's would be, of commands that know it. */
  readonly pipefusion_warmup_steps?: number;
  readonly no_split_batch?: true;
  readonly split_scheme: SplitScheme;
  /** Of `run-pixart` only, as the next four. */
  readonly no_resolution_binning?: true;
  readonly use_cfg_parallel?: true;
  readonly ulysses_degree?: number;
  readonly ring_degree?: number;
  readonly naive_positions?: NaivePositions;
  readonly vae: VaeMode;
  readonly no_cuda_graph?: true;
  readonly warmup_times: number;
  readonly test_times: number;
  readonly ignore_ratio: number;
  readonly random_weights?: string;
  readonly json?: string;
}

/** Names and defaults of distrifuser's scripts/run_sdxl.py, of diffusers' pipeline and of torchrun; the rest is distri's. */
export function addDrawOptions(command: Command, family: ModelFamily = sdxlFamily): Command {
  return command
    .optionsGroup('Model:')
    .addOption(
      value(
        '--model, --pretrained_model_name_or_path <model>',
        `folder in diffusers' layout or hub id${family.embedded ? ' (default: the embedded tiny-shapes)' : ''}`,
        text,
      ),
    )
    .addOption(
      value(
        '--variant <name>',
        'variant of the weight files, e.g. fp16 (default: the only one there is)',
        text,
      ),
    )
    .addOption(value('--revision <name>', 'branch, tag or commit of a hub id', text))
    .optionsGroup('Picture:')
    .addOption(list('--prompt <text>', 'what to draw; several times for several pictures', text))
    .addOption(
      value('--prompts <file>', 'a prompt per line, each drawn on its own; empty lines are skipped', text),
    )
    .addOption(
      list(
        '--negative_prompt <text>',
        'what not to draw; once for all prompts, or once for each',
        () => (given) => given,
      ),
    )
    .addOption(withDefault('--num_images_per_prompt <n>', 'pictures for each prompt', 1, atLeast(1)))
    .addOption(
      list(
        '--image_size <pixels...>',
        `side of a square, or height and width; ${family.sizes} (default: the model's own)`,
        family.parseSide,
      ),
    )
    .addOption(withDefault('--num_inference_steps <n>', 'denoising steps', family.steps, atLeast(1)))
    .addOption(
      withDefault(
        '--guidance_scale <number>',
        'strength of classifier-free guidance; off at 1 or less',
        family.guidanceScale,
        (name) => number(name, 0),
      ),
    )
    .addOption(schedulerOption(family))
    .addOption(
      withDefault('--eta <number>', 'noise that ddim adds at each step, 0 to 1', 0, (name) =>
        number(name, 0, 1),
      ),
    )
    .addOption(withDefault('--seed <n>', 'seed of the noise', 1234n, seed))
    .addOption(
      choice('--rng <name>', "generator of the noise: torch's on a CPU or on a CUDA device", rngNames, 'cpu'),
    )
    .optionsGroup('Output:')
    .addOption(
      value('--output_path <file>', 'where the picture goes (default: a new name in results/)', text),
    )
    .addOption(choice('--output_type <type>', 'a PNG, or the latents as .safetensors', outputTypes, 'pil'))
    .addOption(
      value(
        '--json <file>',
        'write how long each phase and step took on each rank to this file; of a benchmark, all that was measured',
        text,
      ),
    )
    .addOption(value('--trace <file>', "write every step's tensors to this .safetensors file", text))
    .addOption(
      value(
        '--timeline <file>',
        'write what each rank did when, for ui.perfetto.dev or chrome://tracing',
        text,
      ),
    )
    .optionsGroup('Ranks:')
    .addOption(withDefault('-n, --nproc_per_node <n>', 'rank processes', defaultRanks(), atLeast(1)))
    .addOption(
      value(
        '--data_parallel <n>',
        'draw each prompt on its own, n at a time, each by its share of the ranks',
        atLeast(1),
      ),
    )
    .addOption(
      value('--threads <n>', 'threads of each rank (default: the CPUs divided among the ranks)', atLeast(1)),
    )
    .addOption(
      choice(
        '--weights <mode>',
        'one shared copy, a faster copy per rank, or as memory allows',
        weightsModes,
        'auto',
      ),
    )
    .addOption(
      withDefault('--comm_timeout <seconds>', 'give up a rank that does not answer for so long', 60, (name) =>
        number(name, 1, 1e6),
      ),
    )
    .optionsGroup('Parallelism:')
    .addOption(
      choice(
        '--parallelism <name>',
        `how ranks share a picture, see docs/${family.denoiser === 'unet' ? 'modes' : 'parallelism'}.md${family.planned ? '; auto: as distri plan recommends' : ''}`,
        [...family.parallelisms, ...(family.planned ? ['auto' as const] : [])],
        'patch',
      ),
    )
    .addOption(
      choice('--sync_mode <mode>', 'what ranks exchange after the warm-up', syncModes, 'corrected_async_gn'),
    )
    .addOption(choice('--split_scheme <name>', 'how naive_patch cuts the picture', splitSchemes, 'alternate'))
    .addOption(
      withDefault(
        '--warmup_steps <n>',
        family.denoiser === 'transformer'
          ? 'n + 1 steps are synchronous; with pipefusion n, by default 1'
          : 'n + 1 steps are synchronous',
        4,
        atLeast(0),
      ),
    )
    .addOption(new Option('--no_split_batch', 'every rank computes both images of the guidance'))
    .addOption(vaeOption())
    .optionsGroup('Benchmark:')
    .addOption(choice('--mode <name>', 'draw, or measure how long drawing takes', modes, 'generation'))
    .addOption(withDefault('--warmup_times <n>', 'runs before those that are measured', 5, atLeast(0)))
    .addOption(withDefault('--test_times <n>', 'runs that are measured', 20, atLeast(1)))
    .addOption(
      withDefault(
        '--ignore_ratio <share>',
        'of the measured times that are dropped, half from each end',
        0.2,
        (name) => number(name, 0, 1),
      ),
    )
    .addOption(
      value(
        '--random_weights <name>',
        `measure the denoising of an architecture without a checkpoint, e.g. ${family.example}`,
        text,
      ),
    )
    .optionsGroup('Accepted for compatibility:')
    .addOption(new Option('--no_cuda_graph', 'has no effect on a CPU'));
}

function schedulerOption({ scheduler }: ModelFamily): Option {
  if (scheduler !== undefined) return choice('--scheduler <name>', 'scheduler', schedulerNames, scheduler);
  const description = `scheduler: ${schedulerNames.join(', ')} (default: the checkpoint's own)`;
  return value('--scheduler <name>', description, (option) => oneOf(option, schedulerNames));
}

/** The options of image to image. */
export function addInitImageOptions(command: Command): Command {
  return command
    .optionsGroup('Picture:')
    .addOption(
      value('--init_image <file>', 'picture to begin with; its size is the default of --image_size', text),
    )
    .addOption(
      value('--strength <number>', 'how much of it is drawn anew, above 0 to 1 (default: 0.75)', (name) =>
        number(name, 0, 1),
      ),
    );
}

/** Refuses what the options do not allow together and what is not available; looks at nothing but the options. */
export function checkDrawOptions(options: DrawOptions): void {
  checkBenchmark(options);
  checkSinglePrompts(options);
  const { prompt = [''], prompts, negative_prompt = [], image_size, trace, timeline } = options;
  if (prompts === undefined) checkNegativePrompts(negative_prompt, prompt.length);
  if (image_size !== undefined && image_size.length > 2) {
    throw expected('one number, or height and width,', '--image_size', image_size.join(' '));
  }
  if (options.strength !== undefined && options.init_image === undefined) {
    throw new DistriError('usage', '--strength needs --init_image');
  }
  if (options.random_weights !== undefined && options.init_image !== undefined) {
    throw new DistriError('usage', '--random_weights has no VAE; leave out --init_image');
  }
  if (trace !== undefined && !trace.endsWith('.safetensors')) {
    throw expected('a path that ends in .safetensors', '--trace', trace);
  }
  if (timeline !== undefined && !timeline.endsWith('.json')) {
    throw expected('a path that ends in .json', '--timeline', timeline);
  }
}

/** One for all, or one for each. */
export function checkNegativePrompts(negative: readonly string[], prompts: number): void {
  if (negative.length <= 1 || negative.length === prompts) return;
  throw expected(
    `one --negative_prompt, or as many as prompts (${prompts}),`,
    '--negative_prompt',
    negative.length,
  );
}

/** Each prompt is a call of the pipeline of its own. */
export function drawsPromptsSingly({ prompts, data_parallel }: DrawOptions): boolean {
  return prompts !== undefined || data_parallel !== undefined;
}

function checkSinglePrompts(options: DrawOptions): void {
  const { mode, prompt, prompts, data_parallel = 1, nproc_per_node } = options;
  if (prompt !== undefined && prompts !== undefined) {
    throw new DistriError('usage', '--prompt and --prompts exclude each other; use one of them');
  }
  if (nproc_per_node % data_parallel !== 0) {
    throw expected(`a divisor of the number of ranks (${nproc_per_node})`, '--data_parallel', data_parallel);
  }
  if (!drawsPromptsSingly(options)) return;
  if (mode === 'benchmark') {
    throw new DistriError(
      'usage',
      '--mode benchmark measures one call; leave out --prompts and --data_parallel',
    );
  }
  for (const name of ['trace', 'timeline'] as const) {
    if (options[name] !== undefined) {
      throw new DistriError('usage', `--${name} is of one call; leave out --prompts and --data_parallel`);
    }
  }
}

function checkBenchmark(options: DrawOptions): void {
  const { mode, ignore_ratio, trace, random_weights } = options;
  if (mode !== 'benchmark') {
    if (random_weights !== undefined) {
      throw new DistriError('usage', '--random_weights needs --mode benchmark');
    }
    return;
  }
  if (ignore_ratio === 1) throw expected('a number less than 1', '--ignore_ratio', ignore_ratio);
  if (trace !== undefined)
    throw new DistriError('usage', '--trace would slow the benchmark down; use one of them');
  if (random_weights === undefined) return;
  for (const name of ['pretrained_model_name_or_path', 'variant', 'revision'] as const) {
    if (options[name] !== undefined) {
      throw new DistriError('usage', `--random_weights has no checkpoint; leave out --${name}`);
    }
  }
}

/** Two ranks share the guidance batch evenly; one CPU has no use for a second. */
function defaultRanks(): number {
  return availableCpus().count >= 2 ? 2 : 1;
}

type ParserOf<T> = (option: string) => (text: string) => T;

function atLeast(least: number): ParserOf<number> {
  return (option) => integer(option, least);
}

function value<T>(flags: string, description: string, parser: ParserOf<T>): Option {
  const option = new Option(flags, description);
  return option.argParser(parser(nameOf(option)));
}

function list<T>(flags: string, description: string, parser: ParserOf<T>): Option {
  const option = new Option(flags, description);
  return option.argParser(repeated(parser(nameOf(option))));
}

function withDefault<T>(flags: string, description: string, initial: T, parser: ParserOf<T>): Option {
  return value(flags, description, parser).default(initial, String(initial));
}

function choice<T extends string>(
  flags: string,
  description: string,
  values: readonly T[],
  initial: T,
): Option {
  return withDefault(flags, `${description}: ${values.join(', ')}`, initial, (option) =>
    oneOf(option, values),
  );
}

function nameOf(option: Option): string {
  return option.long ?? option.flags;
}
