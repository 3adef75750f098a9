import type { Command } from 'commander';
import { DistriError, expected } from '../../base/errors.js';
import type { PictureSize } from '../../base/sizes.js';
import type { Family } from '../../families/family.js';
import { type SchedulerName, schedulerNames } from '../../schedulers/registry.js';
import { type RngName, rngNames } from '../../tensor/random.js';
import { atLeast, choice, list, optionOf, value, withDefault } from './build.js';
import { number, oneOf, type Parser, seed, side, text } from './parsers.js';

/** What to draw, as commander collects it. What has no default is undefined when it is not given. */
export interface PictureOptions extends SizeOptions {
  readonly prompt?: readonly string[];
  readonly prompts?: string;
  readonly negative_prompt?: readonly string[];
  readonly num_images_per_prompt: number;
  readonly init_image?: string;
  readonly strength?: number;
  readonly num_inference_steps: number;
  readonly guidance_scale: number;
  /** Undefined where the checkpoint decides. */
  readonly scheduler?: SchedulerName;
  readonly eta?: number;
  readonly seed: bigint;
  readonly rng: RngName;
}

export interface SizeOptions {
  readonly image_size?: readonly number[];
  readonly height?: number;
  readonly width?: number;
}

/** Names and defaults of distrifuser's scripts and diffusers' pipelines. */
export function addPictureOptions(command: Command, family: Family): Command {
  const { defaults } = family;
  command
    .optionsGroup('Picture:')
    .addOption(list('--prompt <text>', 'what to draw; several times for several pictures', text))
    .addOption(
      value('--prompts <file>', 'a prompt per line, or a JSON list; each is drawn on its own', text),
    )
    .addOption(
      list(
        '--negative_prompt <text>',
        'what not to draw; once for all prompts, or once for each',
        () => (given) => given,
      ),
    )
    .addOption(withDefault('--num_images_per_prompt <n>', 'pictures for each prompt', 1, atLeast(1)));
  addSizeOptions(command, family.sizes, sideParser(family))
    .addOption(
      withDefault('--num_inference_steps <n>', 'denoising steps', defaults.numInferenceSteps, atLeast(1)),
    )
    .addOption(
      withDefault(
        '--guidance_scale <number>',
        'strength of classifier-free guidance; off at 1 or less',
        defaults.guidanceScale,
        (name) => number(name, 0),
      ),
    );
  const schedulers = `scheduler: ${schedulerNames.join(', ')}`;
  command
    .addOption(
      defaults.scheduler === undefined
        ? value('--scheduler <name>', `${schedulers} (default: the checkpoint's own)`, (option) =>
            oneOf(option, schedulerNames),
          )
        : choice('--scheduler <name>', 'scheduler', schedulerNames, defaults.scheduler),
    )
    .addOption(
      value('--eta <number>', 'noise that ddim adds at each step, 0 to 1 (default: 0)', (name) =>
        number(name, 0, 1),
      ),
    )
    .addOption(withDefault('--seed <n>', 'seed of the noise', 1234n, seed))
    .addOption(
      choice('--rng <name>', "generator of the noise: torch's on a CPU or on a CUDA device", rngNames, 'cpu'),
    );
  if (family.imageToImage) addInitImageOptions(command);
  for (const spec of family.options) command.addOption(optionOf(spec));
  return command;
}

/** `--image_size`, and as diffusers has it height and width. */
export function addSizeOptions(
  command: Command,
  sizes: string,
  parser: (option: string) => Parser<number>,
): Command {
  return command
    .addOption(
      list(
        '--image_size <pixels...>',
        `side of a square, or height and width; ${sizes} (default: the model's own)`,
        parser,
      ),
    )
    .addOption(value('--height <pixels>', 'the same, one by one', parser))
    .addOption(value('--width <pixels>', 'the same, one by one', parser));
}

function sideParser({ sideUnit }: Family): (option: string) => Parser<number> {
  return (option) => side(option, sideUnit);
}

function addInitImageOptions(command: Command): void {
  command
    .addOption(
      value('--init_image <file>', 'picture to begin with; its size is the default of --image_size', text),
    )
    .addOption(
      value('--strength <number>', 'how much of it is drawn anew, above 0 to 1 (default: 0.75)', (name) =>
        number(name, 0, 1),
      ),
    );
}

/** Height and width as they were given, by either of the two ways. */
export function sizeOf({ image_size, height, width }: SizeOptions): Partial<PictureSize> {
  if (image_size === undefined) return { ...(height && { height }), ...(width && { width }) };
  if (height !== undefined || width !== undefined) {
    throw new DistriError('usage', '--image_size and --height or --width exclude each other; use one of them');
  }
  if (image_size.length > 2) {
    throw expected('one number, or height and width,', '--image_size', image_size.join(' '));
  }
  const [rows, columns = rows] = image_size as [number, number?];
  return { height: rows, width: columns };
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

/** Refuses what does not fit together. */
export function checkPictureOptions(options: PictureOptions): void {
  const { prompt, prompts, negative_prompt = [] } = options;
  if (prompt !== undefined && prompts !== undefined) {
    throw new DistriError('usage', '--prompt and --prompts exclude each other; use one of them');
  }
  if (prompts === undefined) checkNegativePrompts(negative_prompt, prompt?.length ?? 1);
  sizeOf(options);
  if (options.strength !== undefined && options.init_image === undefined) {
    throw new DistriError('usage', '--strength needs --init_image');
  }
}
