import { DistriPipeline } from '../src/app/distri-pipeline.js';
import type { ModelOptions, SetupOptions } from '../src/app/options.js';
import type { PlanReport } from '../src/app/plan.js';
import { planRun } from '../src/app/plan-run.js';
import type { DtypeName } from '../src/engine/device.js';
import type { DrawReport } from '../src/jobs/draw.js';
import type { WeightsMode } from '../src/machine/memory.js';
import type { StrategyOptions } from '../src/parallel/registry.js';
import type { PlannedChoice } from '../src/planning/plan.js';

/** A square picture of an architecture with random weights, and what its ranks are told. */
export interface ChoicePicture {
  readonly architecture: string;
  /** Its side in pixels. */
  readonly size: number;
  readonly steps: number;
  readonly dtype: DtypeName;
  /** What strategies are told besides what tells their ways apart. */
  readonly given: Partial<StrategyOptions>;
}

export interface ChoiceRanks {
  readonly ranks: number;
  readonly threads?: number;
  readonly weights?: WeightsMode;
  /** Whether ways that split the batch of the guidance are among them; by default they are. */
  readonly splitBatch?: boolean;
}

/**
 * All ways for exactly so many ranks to share a picture, without predictions, and those that can't be had.
 */
export async function planChoices(
  { architecture, size, dtype, given }: ChoicePicture,
  ranks: ChoiceRanks,
): Promise<Pick<PlanReport, 'choices' | 'refused'>> {
  const picture = { height: size, width: size, dtype, strategyOptions: given };
  const plan = await planRun(architecture, { randomWeights: true, measure: false, ...picture, ...ranks });
  const exactly = <T extends { readonly ranks: number }>(found: readonly T[]) =>
    found.filter((choice) => choice.ranks === ranks.ranks);
  return { choices: exactly(plan.choices), refused: exactly(plan.refused) };
}

/** How a pipeline is set up to draw as a choice has it. */
export function setupOf(choice: PlannedChoice, { dtype, given }: ChoicePicture): SetupOptions & ModelOptions {
  const { ranks, threads, weights, parallelism, splitBatch, settings } = choice;
  const strategy = { ...given, ...settings, parallelism, splitBatch };
  return { ...strategy, ranks, threads, weights, dtype, randomWeights: true };
}

/** The call that draws the picture. */
export function callOf({ size, steps }: ChoicePicture) {
  return { height: size, width: size, numInferenceSteps: steps, useResolutionBinning: false } as const;
}

/** Draws the picture as a choice has it; how that went on each rank. */
export async function drawChoice(
  choice: PlannedChoice,
  picture: ChoicePicture,
  signal: AbortSignal,
): Promise<readonly DrawReport[]> {
  const setup = { ...setupOf(choice, picture), signal };
  const pipeline = await DistriPipeline.fromPretrained(picture.architecture, setup);
  try {
    return (await pipeline(callOf(picture))).reports;
  } finally {
    await pipeline.dispose();
  }
}
