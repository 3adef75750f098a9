import { Command, Option } from 'commander';
import { machineProfiler } from '../app/plan-profiler.js';
import {
  addSubjectOptions,
  openSubject,
  plannedImage,
  plannedParallelisms,
  type SubjectOptions,
} from '../families/plan-subject.js';
import { availableCpus } from '../machine/cpus.js';
import type { WeightsMode } from '../machine/memory.js';
import {
  type ParallelismName,
  type SplitScheme,
  type SyncMode,
  splitSchemes,
  syncModes,
  transformerParallelismNames,
} from '../pipelines/request.js';
import type { VaeMode } from '../pipelines/vae/plan.js';
import { comparedRankCounts } from '../planning/choices.js';
import { makePlan } from '../planning/plan.js';
import { recommend } from '../planning/recommend.js';
import { planVaeRanks } from '../planning/vae-ranks.js';
import { integer, oneOf } from './options/parsers.js';
import { pipeFusionWarmupSteps } from './options/pipefusion.js';
import { vaeOption } from './options/vae.js';
import { type PlanReport, planLines, planReport } from './output/plan.js';
import { Terminal } from './output/terminal.js';

const examples = `
Examples:
  distri plan
  distri plan -n 4 --no_split_batch --sync_mode full_sync
  distri plan -n 2 --random_weights sdxl-mid --image_size 1024
  distri plan -n 8 --model ./sdxl --no_measure --json
  distri plan -n 4 --model ./stable-diffusion-v1-5 --vae tiled
  distri plan -n 4 --random_weights pixart-xl-2 --num_inference_steps 20 --no_measure`;

const weightsModes = ['auto', 'shared', 'private'] as const;

interface PlanOptions extends SubjectOptions {
  readonly image_size?: readonly number[];
  readonly num_inference_steps: number;
  readonly guidance_scale: number;
  readonly nproc_per_node: number;
  readonly threads?: number;
  readonly weights: WeightsMode | 'auto';
  readonly parallelism?: ParallelismName;
  readonly sync_mode: SyncMode;
  readonly warmup_steps: number;
  /** Of pipefusion, which counts them differently. */
  readonly pipefusion_warmup_steps: number;
  readonly num_pipeline_patch?: number;
  readonly split_scheme: SplitScheme;
  readonly no_split_batch?: true;
  readonly vae: VaeMode;
  readonly no_measure?: true;
  readonly remeasure?: true;
  readonly json?: true;
}

/** `distri plan`. `interruption` is aborted when the user wants it to end. */
export function planCommand(interruption: AbortSignal): Command {
  const command = new Command('plan')
    .description(
      'Show how ranks could share a picture: who does what, what is exchanged and held, what is not possible and why, and how long a step would take.',
    )
    .addHelpText('after', examples);
  return addPlanOptions(command).action((_options, { optsWithGlobals }: Command) => {
    const given = optsWithGlobals.call(command) as PlanOptions & { quiet?: true };
    const options = { ...given, pipefusion_warmup_steps: pipeFusionWarmupSteps(command, given) };
    return plan(options, new Terminal(options.quiet ? 'quiet' : 'normal'), interruption);
  });
}

function addPlanOptions(command: Command): Command {
  return addSubjectOptions(command)
    .optionsGroup('Ranks:')
    .addOption(
      count('-n, --nproc_per_node <n>', 'rank processes, at most', 1, Math.min(2, availableCpus().count)),
    )
    .addOption(
      new Option(
        '--threads <n>',
        'threads of each rank (default: the CPUs divided among the ranks)',
      ).argParser(integer('--threads', 1)),
    )
    .addOption(
      new Option('--weights <mode>', `how ranks hold weights: ${weightsModes.join(', ')}`)
        .argParser(oneOf('--weights', weightsModes))
        .default('auto'),
    )
    .optionsGroup('Parallelism:')
    .addOption(
      new Option(
        '--parallelism <name>',
        `only this one: ${transformerParallelismNames.join(', ')}`,
      ).argParser(oneOf('--parallelism', transformerParallelismNames)),
    )
    .addOption(
      new Option('--sync_mode <mode>', `what ranks exchange after the warm-up: ${syncModes.join(', ')}`)
        .argParser(oneOf('--sync_mode', syncModes))
        .default('corrected_async_gn'),
    )
    .addOption(
      count('--warmup_steps <n>', 'n + 1 steps are synchronous; with pipefusion n, by default 1', 0, 4),
    )
    .addOption(
      new Option(
        '--num_pipeline_patch <n>',
        'pipefusion: patches that follow each other through the stages (default: as many as stages)',
      ).argParser(integer('--num_pipeline_patch', 1)),
    )
    .addOption(
      new Option('--split_scheme <name>', `how naive_patch cuts: ${splitSchemes.join(', ')}`)
        .argParser(oneOf('--split_scheme', splitSchemes))
        .default('alternate'),
    )
    .addOption(
      new Option('--no_split_batch', 'only ways in which every rank computes both images of the guidance'),
    )
    .addOption(vaeOption())
    .optionsGroup('Prediction:')
    .addOption(new Option('--no_measure', 'no predictions: measure nothing'))
    .addOption(
      new Option('--remeasure', 'measure the machine again instead of using what was measured before'),
    )
    .addOption(new Option('--json', 'print JSON'));
}

function count(flags: string, description: string, least: number, initial: number): Option {
  const option = new Option(flags, description);
  return option.argParser(integer(option.long ?? flags, least)).default(initial);
}

async function plan(options: PlanOptions, terminal: Terminal, interruption: AbortSignal): Promise<void> {
  const subject = await openSubject(options);
  const image = plannedImage(subject, options.image_size);
  const { sync_mode: syncMode, nproc_per_node: ranks, num_inference_steps: steps } = options;
  const choiceOptions = {
    guided: options.guidance_scale > 1,
    allowSplit: options.no_split_batch !== true,
    parallelisms: options.parallelism === undefined ? plannedParallelisms(subject) : [options.parallelism],
    syncMode,
    warmupSteps: options.warmup_steps,
    splitScheme: options.split_scheme,
    pipefusionWarmupSteps: options.pipefusion_warmup_steps,
    pipefusionPatches: options.num_pipeline_patch,
  };
  const made = await makePlan(
    {
      image,
      rankCounts: comparedRankCounts(ranks),
      options: choiceOptions,
      steps,
      threads: (count) => options.threads ?? Math.max(1, Math.floor(availableCpus().count / count)),
      weights: options.weights,
    },
    options.no_measure
      ? undefined
      : await machineProfiler(options.remeasure === true, terminal, interruption),
  );
  const recommendation = recommend(made.choices, syncMode);
  const picture = {
    model: subject.name,
    height: image.rows * subject.factor,
    width: image.columns * subject.factor,
    guided: choiceOptions.guided,
    steps,
    syncMode,
    warmupSteps: options.warmup_steps,
  };
  const { vae: config } = subject;
  const size = { rows: picture.height, columns: picture.width };
  const planDecoding = (worldSize: number) =>
    config && planVaeRanks(options.vae, { config, size, worldSize });
  const report = planReport(picture, made, recommendation, planDecoding);
  print(report, terminal, options.json === true);
}

function print(report: PlanReport, terminal: Terminal, json: boolean): void {
  if (json) terminal.result(JSON.stringify(report, undefined, 2));
  else for (const line of planLines(report)) terminal.result(line);
}
