import type { Command } from 'commander';
import { Pipeline } from '../../app/pipeline.js';
import type { DrawPlan } from '../../app/plan-drawing.js';
import type { Family } from '../../families/family.js';
import type { RunContext } from '../context.js';
import { callOf, modelOf, type RunOptions, setupOf } from '../options/run.js';
import { unusedOptions } from '../options/unused.js';

/** A call of `distri run-<family>`. */
export interface Run {
  readonly options: RunOptions;
  readonly family: Family;
  readonly command: Command;
  readonly context: RunContext;
}

/** Opens the pipeline that a run asks for, uses it and ends its ranks. */
export async function withPipeline<T>(
  { options, family, context }: Run,
  use: (pipeline: Pipeline) => Promise<T>,
): Promise<T> {
  const { model, ...open } = modelOf(options, family);
  const starting = { ...context, ranksAhead: true };
  const pipeline = await Pipeline.open(model, { ...open, ...setupOf(options) }, starting, family);
  try {
    return await use(pipeline);
  } finally {
    await pipeline.close();
  }
}

/** What ranks will do for the run's call; says which options change nothing. */
export async function planCall(
  pipeline: Pipeline,
  { options, family, command, context }: Run,
): Promise<DrawPlan> {
  const plan = await pipeline.plan(callOf(options, family));
  for (const line of unusedOptions(command, options, plan)) context.observer.note(line);
  return plan;
}
