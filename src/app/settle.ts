import { DistriError } from '../base/errors.js';
import { type DrawOptions, drawsPromptsSingly } from '../commands/options/draw.js';
import { choiceText } from '../commands/output/plan.js';
import type { Terminal } from '../commands/output/terminal.js';
import { type PlanSubject, plannedImage } from '../families/plan-subject.js';
import { resolutionBin } from '../families/resolution-bins.js';
import { availableCpus } from '../machine/cpus.js';
import type { ParallelismName } from '../pipelines/request.js';
import { makePlan, type PlannedChoice } from '../planning/plan.js';
import type { PlannedImage } from '../planning/rank-work.js';
import { recommend } from '../planning/recommend.js';
import { machineProfiler } from './plan-profiler.js';
import type { RunContext } from './prepare.js';

/** Options whose parallelism is one that there is. */
export type SettledOptions = DrawOptions & { readonly parallelism: ParallelismName };

/** Replaces `--parallelism auto` by what `distri plan` recommends for these ranks, and says so. */
export async function settleParallelism(
  options: DrawOptions,
  model: () => Promise<PlanSubject>,
  { terminal, interruption, family }: Pick<RunContext, 'terminal' | 'interruption' | 'family'>,
): Promise<SettledOptions> {
  const { parallelism, nproc_per_node, data_parallel = 1 } = options;
  if (parallelism !== 'auto') return { ...options, parallelism };
  refuseDetails(options);
  const ranks = nproc_per_node / data_parallel;
  if (ranks === 1) return { ...options, parallelism: 'patch' };
  const { choices } = await makePlan(
    {
      image: drawnImage(await model(), options),
      rankCounts: [ranks],
      options: {
        guided: options.guidance_scale > 1,
        allowSplit: options.no_split_batch !== true,
        parallelisms: family.parallelisms,
        syncMode: options.sync_mode,
        warmupSteps: options.warmup_steps,
        splitScheme: options.split_scheme,
        pipefusionWarmupSteps: options.pipefusion_warmup_steps,
      },
      steps: options.num_inference_steps,
      threads: () => options.threads ?? Math.max(1, Math.floor(availableCpus().count / nproc_per_node)),
      weights: options.weights,
    },
    await machineProfiler(false, terminal, interruption),
  );
  const allowed = options.use_cfg_parallel ? choices.filter(({ splitBatch }) => splitBatch) : choices;
  return applied(options, recommend(allowed, options.sync_mode), terminal);
}

/** What says how a strategy is to be set up needs that strategy. */
function refuseDetails(options: DrawOptions): void {
  const owners = {
    ulysses_degree: 'sequence',
    ring_degree: 'sequence',
    naive_positions: 'naive_patch',
    num_pipeline_patch: 'pipefusion',
    attn_layer_num_for_pp: 'pipefusion',
    sequence_degree: 'pipefusion',
  } as const;
  for (const [name, owner] of Object.entries(owners) as [keyof typeof owners, string][]) {
    if (options[name] !== undefined) {
      throw new DistriError('usage', `--${name} needs --parallelism ${owner}, not auto`);
    }
  }
}

/** The size that is drawn is one that PixArt was trained at, unless that is not wanted. */
function drawnImage(subject: PlanSubject, options: DrawOptions): PlannedImage {
  const { model, sampleSize } = subject;
  const [height, width = height] = options.image_size ?? [];
  const binned = model.blocks !== undefined && options.no_resolution_binning !== true;
  if (!binned || sampleSize === undefined || height === undefined || width === undefined) {
    return plannedImage(subject, options.image_size, imageCount(options));
  }
  const size = resolutionBin(sampleSize, { height, width });
  return plannedImage(subject, [size.height, size.width], imageCount(options));
}

/** Pictures of one call of the pipeline. */
function imageCount(options: DrawOptions): number {
  const { prompt = [''], num_images_per_prompt } = options;
  return (drawsPromptsSingly(options) ? 1 : prompt.length) * num_images_per_prompt;
}

function applied(
  options: DrawOptions,
  recommendation: ReturnType<typeof recommend>,
  terminal: Terminal,
): SettledOptions {
  // Tensor parallelism is possible for every picture.
  if (recommendation === undefined) return { ...options, parallelism: 'tensor' };
  const { choice, reason } = recommendation;
  terminal.note(`--parallelism auto: ${choiceText(choice)}: ${reason}`);
  const { no_split_batch: _, ...others } = options;
  const split = choice.splitBatch ? {} : ({ no_split_batch: true } as const);
  return { ...others, ...split, ...detailsOf(choice, options), parallelism: choice.parallelism };
}

/** The options that a choice stands for, besides its strategy. */
function detailsOf(
  { sequence, pipefusion }: PlannedChoice,
  { warmup_steps, pipefusion_warmup_steps }: DrawOptions,
): Partial<DrawOptions> {
  if (sequence) return { ulysses_degree: sequence.ulyssesDegree, ring_degree: sequence.ringDegree };
  if (!pipefusion) return {};
  return {
    num_pipeline_patch: pipefusion.patches,
    sequence_degree: pipefusion.sequence,
    warmup_steps: pipefusion_warmup_steps ?? warmup_steps,
  };
}
