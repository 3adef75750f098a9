import { type ParallelismName, parallelismNames } from '../pipelines/request.js';
import { makePlan } from '../planning/plan.js';
import { recommend } from '../planning/recommend.js';
import { availableCpus } from '../runtime/cpus.js';
import { choiceText } from './plan-output.js';
import { machineProfiler } from './plan-profiler.js';
import { type PlanSubject, plannedImage } from './plan-subject.js';
import { drawsPromptsSingly, type SdxlOptions } from './sdxl-options.js';
import type { Terminal } from './terminal.js';

/** Options whose parallelism is one that there is. */
export type SettledOptions = SdxlOptions & { readonly parallelism: ParallelismName };

/** Replaces `--parallelism auto` by what `distri plan` recommends for these ranks, and says so. */
export async function settleParallelism(
  options: SdxlOptions,
  model: () => Promise<PlanSubject>,
  terminal: Terminal,
  interruption: AbortSignal,
): Promise<SettledOptions> {
  const { parallelism, nproc_per_node, data_parallel = 1 } = options;
  if (parallelism !== 'auto') return { ...options, parallelism };
  const ranks = nproc_per_node / data_parallel;
  if (ranks === 1) return { ...options, parallelism: 'patch' };
  const { choices } = await makePlan(
    {
      image: plannedImage(await model(), options.image_size, imageCount(options)),
      rankCounts: [ranks],
      options: {
        guided: options.guidance_scale > 1,
        allowSplit: options.no_split_batch !== true,
        parallelisms: parallelismNames,
        syncMode: options.sync_mode,
        warmupSteps: options.warmup_steps,
        splitScheme: options.split_scheme,
      },
      steps: options.num_inference_steps,
      threads: () => options.threads ?? Math.max(1, Math.floor(availableCpus().count / nproc_per_node)),
      weights: options.weights,
    },
    await machineProfiler(false, terminal, interruption),
  );
  return applied(options, recommend(choices, options.sync_mode), terminal);
}

/** Pictures of one call of the pipeline. */
function imageCount(options: SdxlOptions): number {
  const { prompt = [''], num_images_per_prompt } = options;
  return (drawsPromptsSingly(options) ? 1 : prompt.length) * num_images_per_prompt;
}

function applied(
  options: SdxlOptions,
  recommendation: ReturnType<typeof recommend>,
  terminal: Terminal,
): SettledOptions {
  // Tensor parallelism is possible for every picture.
  if (recommendation === undefined) return { ...options, parallelism: 'tensor' };
  const { choice, reason } = recommendation;
  terminal.note(`--parallelism auto: ${choiceText(choice)}: ${reason}`);
  const { no_split_batch: _, ...others } = options;
  const split = choice.splitBatch ? {} : ({ no_split_batch: true } as const);
  return { ...others, ...split, parallelism: choice.parallelism };
}
