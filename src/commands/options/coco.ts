import type { Command, Option } from 'commander';
import type { DrawPlan } from '../../app/plan-drawing.js';
import { DistriError, expected } from '../../base/errors.js';
import { EMBEDDED_DATASET } from '../../datasets/open.js';
import { folderName } from '../../parallel/registry.js';
import { atLeast, list, value, withDefault } from './build.js';
import { addModelOptions } from './model.js';
import { addAnyParallelOptions } from './parallel.js';
import { text } from './parsers.js';
import { addAnyPictureOptions, sizeOf } from './picture.js';
import { addRanksOptions, checkRanksOptions } from './ranks.js';
import { addCompatibilityOptions, type DrawOptions } from './run.js';
import { vaeOption } from './vae.js';

/** distrifuser's scripts/generate_coco.py draws the first 5000 captions. */
const REFERENCE_IMAGES = 5000;

/**
 * The options of `generate-coco` as commander collects them. The data set decides prompts, seeds and names of
 * files.
 */
export interface CocoOptions extends DrawOptions {
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
      withDefault('--limit <n>', 'of the data set, only the first n images', REFERENCE_IMAGES, atLeast(1)),
    )
    .addOption(list('--split <numbers...>', 'i n: only part i (from 0) of n parts of the images', atLeast(0)))
    .optionsGroup('Output:')
    .addOption(
      value(
        '--output_root <folder>',
        'where the pictures go (default: results/coco/{scheduler}-{steps}/gpus{n}-{how they share a picture})',
        text,
      ),
    );
  addModelOptions(command, true);
  addRanksOptions(addAnyPictureOptions(command));
  return addCompatibilityOptions(addAnyParallelOptions(command).addOption(vaeOption()));
}

export function datasetOption(): Option {
  return value(
    '--dataset <name>',
    `${EMBEDDED_DATASET}, a folder with captions_val2014.json and images, or a data set of the hub`,
    text,
  );
}

export function checkCocoOptions(options: CocoOptions): void {
  const { split, negative_prompt = [] } = options;
  if (negative_prompt.length > 1) {
    throw new DistriError('usage', 'Expected one --negative_prompt, which goes for all captions');
  }
  sizeOf(options);
  checkRanksOptions(options);
  if (split === undefined) return;
  const [part = 0, parts = 0] = split;
  if (split.length !== 2 || part >= parts) throw expected('i n with 0 <= i < n', '--split', split.join(' '));
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

/** The folder that distrifuser's script would choose; of ways to share that it does not have, one like it. */
export function defaultOutputRoot({ request, parallel, topology }: DrawPlan): string {
  const { scheduler, numInferenceSteps } = request;
  return `results/coco/${scheduler}-${numInferenceSteps}/gpus${topology.patches}-${folderName(parallel)}`;
}
