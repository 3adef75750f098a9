import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { openDataset } from '../app/coco/dataset.js';
import { PictureFolder } from '../app/coco/folder.js';
import type { Settings } from '../app/coco/settings.js';
import { type DrawTask, drawTasks } from '../app/draw-tasks.js';
import type { OpenModel } from '../app/model.js';
import { describeImage } from '../app/outputs.js';
import { Pipeline } from '../app/pipeline.js';
import type { DrawPlan } from '../app/plan-drawing.js';
import { DistriError, toError } from '../base/errors.js';
import { secondsText } from '../base/numbers.js';
import { snakeCased } from '../base/option-spec.js';
import { embeddedModel, packageVersion } from '../base/package.js';
import { quote } from '../base/quote.js';
import { type CaptionDataset, choosePrompts, promptsHash } from '../datasets/caption-dataset.js';
import { EMBEDDED_DATASET, REFERENCE_DATASET } from '../datasets/open.js';
import { ownOptions } from '../parallel/registry.js';
import type { CommandContext, RunContext } from './context.js';
import {
  addCocoOptions,
  type CocoOptions,
  checkCocoOptions,
  chooseRange,
  defaultOutputRoot,
} from './options/coco.js';
import { launchedRanks, refuseLaunchedGroups } from './options/launched-ranks.js';
import { denoisingOf, setupOf } from './options/run.js';
import { unusedOptions } from './options/unused.js';
import { exampleLines } from './output/examples.js';
import { counted, describeRun } from './output/summary.js';
import { type Terminal, terminalOf } from './output/terminal.js';

const examples = [
  '--limit 64',
  '-n 4 --data_parallel 2 --sync_mode full_sync --output_root results/coco/full_sync',
  '--split 0 2',
  '-n 8 --model stabilityai/stable-diffusion-xl-base-1.0 --rng philox',
  '-n 4 --model PixArt-alpha/PixArt-XL-2-1024-MS --parallelism pipefusion',
];

/** Of so many failures each is told; the rest is like them. */
const REPORTED_FAILURES = 5;

/** A caption of the data set. */
interface Caption {
  /** Of the image: its name and its seed. */
  readonly index: number;
  readonly prompt: string;
}

/** `distri generate-coco`. */
export function generateCocoCommand({ signal, launched }: CommandContext): Command {
  const command = new Command('generate-coco')
    .description(
      'Draw a picture for each image of a data set from one of its captions, with its number as the seed.',
    )
    .addHelpText(
      'after',
      '\nThe folder records its settings: the same command goes on where it ended, other settings are refused.',
    )
    .addHelpText('after', exampleLines('generate-coco', examples));
  return addCocoOptions(command).action(async () => {
    const options = { ...command.opts<CocoOptions>(), ...launchedRanks(command, launched) };
    await generateCoco(command, options, { observer: terminalOf(command), signal, launched });
  });
}

async function generateCoco(command: Command, options: CocoOptions, context: RunContext): Promise<void> {
  const { observer } = context;
  checkCocoOptions(options);
  refuseLaunchedGroups(options, context.launched);
  const dataset = await openDataset(chooseDataset(options), context);
  const prompts = choosePrompts(dataset);
  const { pretrained_model_name_or_path: model = embeddedModel, variant, revision } = options;
  const pipeline = await Pipeline.open(model, { variant, revision, ...setupOf(options) }, context);
  try {
    const { family } = pipeline.model;
    const plan = await pipeline.plan({ ...denoisingOf(options, family), prompt: prompts[0], seed: 0 });
    for (const line of unusedOptions(command, options, plan)) observer.note(line);
    const root = resolve(options.output_root ?? defaultOutputRoot(plan));
    const folder = await PictureFolder.open(root, describeSettings(pipeline.model, plan, dataset, prompts));
    try {
      const captions = await missing(folder, prompts, options, observer);
      if (captions.length > 0) {
        await pipeline.prepare(plan);
        const lanes = Math.min(pipeline.groups, captions.length);
        observer.note(`${counted(captions.length, 'image')} of ${dataset.name}, image i with seed i`);
        describeRun(plan, observer, lanes);
        await draw(pipeline, plan, folder, captions, lanes, context);
      }
      observer.result(folder.path);
    } finally {
      await folder.close();
    }
  } finally {
    await pipeline.close();
  }
}

function chooseDataset({ dataset, pretrained_model_name_or_path: model }: CocoOptions): string {
  if (dataset !== undefined) return dataset;
  if (model === undefined || resolve(model) === resolve(embeddedModel)) return EMBEDDED_DATASET;
  return REFERENCE_DATASET;
}

/** What is to be drawn and not there yet. */
async function missing(
  folder: PictureFolder,
  prompts: readonly string[],
  { limit, split }: CocoOptions,
  terminal: Terminal,
): Promise<Caption[]> {
  const { first, end } = chooseRange(Math.min(limit, prompts.length), split);
  const captions: Caption[] = [];
  for (const [offset, prompt] of prompts.slice(first, end).entries()) {
    const index = first + offset;
    if (!(await folder.has(index, prompt))) captions.push({ index, prompt });
  }
  const there = end - first - captions.length;
  if (there > 0) terminal.note(`${there} of ${end - first} images are there already`);
  if (first === end) terminal.note('this part has no images');
  return captions;
}

/**
 * A caption that fails does not keep the others from being drawn; they are an error at the end. A full disk
 * ends everything.
 */
async function draw(
  pipeline: Pipeline,
  plan: DrawPlan,
  folder: PictureFolder,
  captions: readonly Caption[],
  lanes: number,
  { observer, signal }: RunContext,
): Promise<void> {
  const failures: Failure[] = [];
  const { tasks, seconds } = await drawTasks(
    pipeline,
    captions.map((caption) => captionTask(plan, folder, caption)),
    {
      observer,
      signal,
      lanes,
      failed: (index, error) => failures.push({ caption: captions[index] as Caption, error }),
      endsRun: (error) => error instanceof DistriError && error.code === 'output',
    },
  ).catch((error) => {
    throw goesOn(error);
  });
  if (tasks > 0) {
    const rate = (tasks / seconds).toPrecision(3);
    observer.note(`${counted(tasks, 'image')} in ${secondsText(seconds)}, ${rate} images/s`);
  }
  reportFailures(failures, captions.length, observer);
}

const CONTINUATION = 'the same command draws what is missing';

/** What was drawn stays. */
function goesOn(error: unknown): unknown {
  if (!(error instanceof DistriError)) return error;
  return new DistriError(error.code, `${error.message}; ${CONTINUATION}`, { cause: error });
}

function captionTask(plan: DrawPlan, folder: PictureFolder, { index, prompt }: Caption): DrawTask {
  const own = { ...plan, request: { ...plan.request, prompt: [prompt], seed: BigInt(index) } };
  return {
    plan: own,
    open: async () => ({
      files: {
        kind: 'files',
        images: [{ path: folder.draft(index), text: describeImage(own, 0) }],
        latents: undefined,
        trace: undefined,
      },
      finish: () => folder.finish(index),
      explain: (error) => folder.explain(index, error),
      discard: async () => {},
    }),
  };
}

interface Failure {
  readonly caption: Caption;
  readonly error: unknown;
}

function reportFailures(failures: readonly Failure[], tasks: number, terminal: Terminal): void {
  const [first] = failures;
  if (first === undefined) return;
  for (const { caption, error } of failures.slice(0, REPORTED_FAILURES)) {
    terminal.note(`image ${caption.index} (${quote(caption.prompt)}): ${toError(error).message}`);
  }
  const code = first.error instanceof DistriError ? first.error.code : 'internal';
  throw new DistriError(
    code,
    `${failures.length} of ${tasks} images failed; the first, ${first.caption.index}: ` +
      `${toError(first.error).message}; ${CONTINUATION}`,
    { cause: first.error },
  );
}

function describeSettings(
  model: OpenModel,
  { request, parallel, topology, load }: DrawPlan,
  dataset: CaptionDataset,
  prompts: readonly string[],
): Settings {
  return {
    format: 2,
    model: modelIdentity(model, load.directory),
    variant: model.variant ?? '',
    dataset: dataset.name,
    prompts_sha256: promptsHash(prompts),
    negative_prompt: request.negativePrompt[0] ?? '',
    height: request.height,
    width: request.width,
    num_inference_steps: request.numInferenceSteps,
    scheduler: request.scheduler,
    eta: request.eta,
    guidance_scale: request.guidanceScale,
    rng: request.rng,
    ...snakeCased(request.familyOptions),
    dtype: load.device.dtype,
    engine: load.device.engine,
    ranks: topology.worldSize,
    ...ownOptions(parallel),
  };
}

/** The embedded model's name, a folder's path, or a hub id with its commit. */
function modelIdentity({ given, name }: OpenModel, directory: string): string {
  if (resolve(given) === resolve(embeddedModel)) return `${name} (embedded in distri ${packageVersion()})`;
  if (existsSync(given)) return resolve(given);
  return `${name}@${directory.split('/').at(-1)}`;
}
