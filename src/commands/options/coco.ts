import { Command, Option } from 'commander';
import { DistriError, expected } from '../../base/errors.js';
import { EMBEDDED_DATASET } from '../../datasets/open.js';
import { addDrawOptions, checkDrawOptions, type DrawOptions } from './draw.js';
import { integer, repeated, text } from './parsers.js';

/** distrifuser's scripts/generate_coco.py draws the first 5000 captions. */
const REFERENCE_IMAGES = 5000;

/** What the data set decides (prompts, seeds, names of files), and what is of a benchmark. */
const decided = {
  mode: 'generation',
  prompt: undefined,
  prompts: undefined,
  num_images_per_prompt: 1,
  seed: 0n,
  output_path: undefined,
  output_type: 'pil',
  trace: undefined,
  warmup_times: 0,
  test_times: 1,
  ignore_ratio: 0,
  random_weights: undefined,
  json: undefined,
} as const;

type Decided = keyof typeof decided;

/** The options of `generate-coco` as commander collects them. */
export interface CocoOptions extends Omit<DrawOptions, Decided> {
  readonly dataset?: string;
  readonly output_root?: string;
  readonly limit: number;
  readonly split?: readonly number[];
}

/** Names and defaults of distrifuser's scripts/generate_coco.py; the rest is distri's. */
export function addCocoOptions(command: Command): Command {
  command
    .optionsGroup('Captions:')
    .addOption(datasetOption())
    .addOption(
      new Option('--limit <n>', 'of the data set, only the first n images')
        .argParser(integer('--limit', 1))
        .default(REFERENCE_IMAGES),
    )
    .addOption(
      new Option('--split <numbers...>', 'i n: only part i (from 0) of n parts of the images').argParser(
        repeated(integer('--split', 0)),
      ),
    )
    .optionsGroup('Output:')
    .addOption(
      new Option(
        '--output_root <folder>',
        'where the pictures go (default: results/coco/{scheduler}-{steps}/gpus{n}-warmup{n}-{sync_mode})',
      ).argParser(text('--output_root')),
    );
  for (const option of addDrawOptions(new Command()).options) {
    if (!(option.attributeName() in decided)) command.addOption(option);
  }
  return command;
}

export function datasetOption(): Option {
  return new Option(
    '--dataset <name>',
    `${EMBEDDED_DATASET}, a folder with captions_val2014.json and images, or a data set of the hub`,
  ).argParser(text('--dataset'));
}

/** As `run-sdxl` has them, for pictures of the data set. */
export function drawOptions(options: CocoOptions): DrawOptions {
  const { dataset: _, output_root: __, limit: ___, split: ____, ...others } = options;
  const { prompt, prompts, output_path, trace, random_weights, json, ...fixed } = decided;
  return { ...others, ...fixed };
}

export function checkCocoOptions(options: CocoOptions): void {
  const { split, negative_prompt = [] } = options;
  if (negative_prompt.length > 1) {
    throw new DistriError('usage', 'Expected one --negative_prompt, which goes for all captions');
  }
  checkDrawOptions(drawOptions(options));
  if (split === undefined) return;
  const [part = 0, parts = 0, ...more] = split;
  if (split.length !== 2 || more.length > 0 || part >= parts) {
    throw expected('i n with 0 <= i < n', '--split', split.join(' '));
  }
}

/** Which of `count` images are drawn: from `first` to before `end`, in equal parts but for the last. */
export function chooseRange(
  count: number,
  split: readonly number[] | undefined,
): { first: number; end: number } {
  const [part = 0, parts = 1] = split ?? [];
  const size = Math.ceil(count / parts);
  return { first: Math.min(part * size, count), end: Math.min((part + 1) * size, count) };
}

/** The folder that distrifuser's script would choose. */
export function defaultOutputRoot(options: CocoOptions): string {
  const { scheduler, num_inference_steps, nproc_per_node, data_parallel = 1 } = options;
  const ranks = nproc_per_node / data_parallel;
  const devices = options.no_split_batch ? ranks : Math.floor(ranks / 2);
  return `results/coco/${scheduler}-${num_inference_steps}/gpus${devices}-warmup${options.warmup_steps}-${options.sync_mode}`;
}
