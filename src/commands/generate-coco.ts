import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { openDataset } from '../app/coco/dataset.js';
import { CocoDrawing, type CocoTask } from '../app/coco/draw.js';
import { PictureFolder } from '../app/coco/folder.js';
import type { Settings } from '../app/coco/settings.js';
import { type DrawMeeting, describeRun, prepareDrawing, type RunContext } from '../app/prepare.js';
import { DistriError } from '../base/errors.js';
import { embeddedModel, packageVersion } from '../base/package.js';
import { type CaptionDataset, choosePrompts, promptsHash } from '../datasets/caption-dataset.js';
import { EMBEDDED_DATASET, REFERENCE_DATASET } from '../datasets/open.js';
import { chooseSubject, type DrawPlan, type Subject } from '../families/draw-plan.js';
import { sdxlFamily } from '../families/family.js';
import {
  addCocoOptions,
  type CocoOptions,
  checkCocoOptions,
  chooseRange,
  defaultOutputRoot,
  drawOptions,
} from './options/coco.js';
import { launchedRanks } from './options/launched-ranks.js';
import { Terminal } from './output/terminal.js';

const examples = `
The folder records its settings: the same command goes on where it ended, other settings are refused.

Examples:
  distri generate-coco --limit 64
  distri generate-coco -n 4 --data_parallel 2 --sync_mode full_sync --output_root results/coco/full_sync
  distri generate-coco --split 0 2
  distri generate-coco -n 8 --model stabilityai/stable-diffusion-xl-base-1.0 --rng philox`;

/** `distri generate-coco`. `interruption` is aborted when the user wants it to end; with a `meeting` a launcher started the ranks. */
export function generateCocoCommand(interruption: AbortSignal, meeting?: DrawMeeting): Command {
  const command = new Command('generate-coco')
    .description(
      'Draw a picture for each image of a data set from one of its captions, with its number as the seed.',
    )
    .addHelpText('after', examples);
  return addCocoOptions(command).action(async (_options, { optsWithGlobals }: Command) => {
    const options = optsWithGlobals.call(command) as CocoOptions & { quiet?: true; verbose?: true };
    const verbosity = options.quiet ? 'quiet' : options.verbose ? 'verbose' : 'normal';
    const ranks = launchedRanks(command, meeting);
    await generateCoco(
      { ...options, ...ranks },
      { terminal: new Terminal(verbosity), interruption, meeting, family: sdxlFamily },
    );
  });
}

async function generateCoco(options: CocoOptions, context: RunContext): Promise<void> {
  const { terminal, meeting } = context;
  checkCocoOptions(options);
  if (options.no_cuda_graph) terminal.note('--no_cuda_graph has no effect on a CPU');
  if (meeting !== undefined && (options.data_parallel ?? 1) > 1) {
    throw new DistriError('usage', `--data_parallel needs ranks that distri starts, not ${meeting.launcher}`);
  }
  const sdxl = drawOptions(options);
  const dataset = await openDataset(chooseDataset(options), context);
  const prompts = choosePrompts(dataset);
  const subject = { ...chooseSubject(sdxl, context.family), prompts: prompts.slice(0, 1) };
  const preparation = await prepareDrawing(sdxl, subject, context);
  const { plan, load } = preparation;
  const settings = describeSettings(subject, load.directory, plan, dataset, prompts, options);
  const folder = await PictureFolder.open(
    resolve(options.output_root ?? defaultOutputRoot(options)),
    settings,
  );
  try {
    const tasks = await missing(folder, prompts, options, terminal);
    if (tasks.length > 0) {
      const lanes = Math.min(options.data_parallel ?? 1, tasks.length);
      terminal.note(`${tasks.length} images of ${dataset.name}, image i with seed i`);
      describeRun(subject, preparation, terminal, lanes);
      await new CocoDrawing(tasks, folder, sdxl, subject, preparation, context).run(lanes);
    }
    terminal.result(folder.path);
  } finally {
    await folder.close();
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
): Promise<CocoTask[]> {
  const { first, end } = chooseRange(Math.min(limit, prompts.length), split);
  const tasks: CocoTask[] = [];
  for (const [offset, prompt] of prompts.slice(first, end).entries()) {
    const index = first + offset;
    if (!(await folder.has(index, prompt))) tasks.push({ index, prompt });
  }
  const there = end - first - tasks.length;
  if (there > 0) terminal.note(`${there} of ${end - first} images are there already`);
  if (first === end) terminal.note('this part has no images');
  return tasks;
}

function describeSettings(
  subject: Subject,
  directory: string,
  { request, parallel, topology }: DrawPlan,
  dataset: CaptionDataset,
  prompts: readonly string[],
  options: CocoOptions,
): Settings {
  return {
    format: 1,
    model: modelIdentity(subject, directory),
    variant: options.variant ?? '',
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
    ranks: topology.worldSize,
    parallelism: parallel.parallelism,
    sync_mode: parallel.syncMode,
    warmup_steps: parallel.warmupSteps,
    split_batch: parallel.splitBatch,
    split_scheme: parallel.splitScheme,
  };
}

/** The embedded model's name, a folder's path, or a hub id with its commit. */
function modelIdentity({ model, name }: Subject, directory: string): string {
  if (model === embeddedModel) return `${name} (embedded in distri ${packageVersion()})`;
  if (existsSync(model)) return resolve(model);
  return `${name}@${directory.split('/').at(-1)}`;
}
