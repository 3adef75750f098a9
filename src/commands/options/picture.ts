import type { Command, Option } from 'commander';
import { DistriError, expected } from '../../base/errors.js';
import { flagName, gatherOptions, ownedByOthers } from '../../base/option-spec.js';
import type { PictureSize } from '../../base/sizes.js';
import type { Family } from '../../families/family.js';
import { families } from '../../families/registry.js';
import { type SchedulerName, schedulerNames, schedulersFor } from '../../schedulers/registry.js';
import { type RngName, rngNames } from '../../tensor/random.js';
import { atLeast, choice, list, optionOf, type ParserOf, value, withDefault } from './build.js';
import { number, oneOf, seed, side, text } from './parsers.js';
import { givenValues } from './specs.js';

/** How pictures are drawn, as commander collects it. What is undefined is as the model's family has it. */
export interface DenoisingOptions extends SizeOptions {
  readonly negative_prompt?: readonly string[];
  readonly num_inference_steps?: number;
  readonly guidance_scale?: number;
  readonly scheduler?: SchedulerName;
  readonly eta?: number;
  readonly rng: RngName;
}

/** What to draw, and how. */
export interface PictureOptions extends DenoisingOptions {
  readonly prompt?: readonly string[];
  readonly prompts?: string;
  readonly num_images_per_prompt: number;
  readonly init_image?: string;
  readonly strength?: number;
  readonly seed: bigint;
}

export interface SizeOptions {
  readonly image_size?: readonly number[];
  readonly height?: number;
  readonly width?: number;
}

/** Names and defaults of distrifuser's scripts and diffusers' pipelines. */
export function addPictureOptions(command: Command, family: Family): Command {
  command
    .optionsGroup('Picture:')
    .addOption(list('--prompt <text>', 'what to draw; several times for several pictures', text))
    .addOption(
      value('--prompts <file>', 'a prompt per line, or a JSON list; each is drawn on its own', text),
    );
  addNegativePrompt(command, 'what not to draw; once for all prompts, or once for each').addOption(
    withDefault('--num_images_per_prompt <n>', 'pictures for each prompt', 1, atLeast(1)),
  );
  addSizeOptions(command, family);
  addDenoisingOptions(command, family).addOption(withDefault('--seed <n>', 'seed of the noise', 1234n, seed));
  addRng(command);
  if (family.imageToImage) addInitImageOptions(command);
  for (const spec of family.options) command.addOption(optionOf(spec));
  return command;
}

/** The same for models of any family, of pictures whose prompts and seeds are decided already. */
export function addAnyPictureOptions(command: Command): Command {
  command.optionsGroup('Picture:');
  addNegativePrompt(command, 'what not to draw');
  addSizeOptions(command);
  addDenoisingOptions(command);
  addRng(command);
  for (const { spec } of familyOptions) command.addOption(optionOf(spec));
  return command;
}

/** Options of single families, all of them. */
const familyOptions = gatherOptions(Object.fromEntries(families.map((family) => [family.title, family])));

/** What was said of a family's own options. Refuses those of others. */
export function givenFamilyOptions(options: object, family: Family): Readonly<Record<string, unknown>> {
  const given = { ...options } as Readonly<Record<string, unknown>>;
  for (const option of familyOptions) {
    const foreign = !option.owners.includes(family.title);
    if (foreign && given[flagName(option.spec)] !== undefined)
      throw ownedByOthers(option, 'a model of', family.title);
  }
  return givenValues(family.options, given);
}

function addNegativePrompt(command: Command, description: string): Command {
  // An empty one is a prompt too.
  return command.addOption(list('--negative_prompt <text>', description, () => (given) => given));
}

function addRng(command: Command): Command {
  const description = "generator of the noise: torch's on a CPU or on a CUDA device";
  return command.addOption(choice('--rng <name>', description, rngNames, 'cpu'));
}

/** Without `family` its defaults stay open. */
export function addSizeOptions(command: Command, family?: Family): Command {
  const unit = family?.sideUnit ?? 1;
  const parser = (option: string) => side(option, unit);
  const sizes = family === undefined ? '' : `; ${family.sizes}`;
  return command
    .addOption(
      list(
        '--image_size <pixels...>',
        `side of a square, or height and width${sizes} (default: the model's own)`,
        parser,
      ),
    )
    .addOption(value('--height <pixels>', 'the same, one by one', parser))
    .addOption(value('--width <pixels>', 'the same, one by one', parser));
}

/** Without `family` the defaults are those of the model's. */
function addDenoisingOptions(command: Command, family?: Family): Command {
  const defaults = family?.defaults;
  const names = family === undefined ? schedulerNames : schedulersFor(family.predicts);
  addStepsOption(command, defaults?.numInferenceSteps);
  addGuidanceOption(command, defaults?.guidanceScale, family);
  const description = `scheduler: ${names.join(', ')}`;
  const parser = (option: string) => oneOf(option, names);
  const own = defaults === undefined ? "the family's" : "the checkpoint's own";
  return command
    .addOption(
      defaults?.scheduler === undefined
        ? value('--scheduler <name>', `${description} (default: ${own})`, parser)
        : withDefault('--scheduler <name>', description, defaults.scheduler, parser),
    )
    .addOption(
      value('--eta <number>', 'noise that ddim adds at each step, 0 to 1 (default: 0)', (name) =>
        number(name, 0, 1),
      ),
    );
}

/** Without a default it is the family's. */
export function addStepsOption(command: Command, initial?: number): Command {
  return command.addOption(openDefault('--num_inference_steps <n>', 'denoising steps', initial, atLeast(1)));
}

/** Without a default it is the family's. */
export function addGuidanceOption(command: Command, initial?: number, family?: Family): Command {
  const description = family?.trueCfgScale
    ? 'number that tells models how closely to follow the prompt'
    : 'strength of classifier-free guidance; off at 1 or less';
  return command.addOption(
    openDefault('--guidance_scale <number>', description, initial, (name) => number(name, 0)),
  );
}

function openDefault(
  flags: string,
  description: string,
  initial: number | undefined,
  parser: ParserOf<number>,
): Option {
  return initial === undefined
    ? value(flags, `${description} (default: the family's)`, parser)
    : withDefault(flags, description, initial, parser);
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
    throw new DistriError(
      'usage',
      '--image_size and --height or --width exclude each other; use one of them',
    );
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
