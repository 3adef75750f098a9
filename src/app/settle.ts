import type { Device } from '../engine/device.js';
import {
  defaultStrategy,
  fallbackStrategy,
  refuseForeignOptions,
  type StrategyName,
  strategiesFor,
} from '../parallel/registry.js';
import type { Geometry } from '../pipelines/geometry.js';
import { type GenerationRequest, guidanceOf } from '../pipelines/request.js';
import { choiceText } from '../planning/choices.js';
import { makePlan } from '../planning/plan.js';
import type { PlannedImage } from '../planning/rank-work.js';
import { recommend } from '../planning/recommend.js';
import { machineProfiles } from './machine-profiles.js';
import type { OpenModel } from './model.js';
import type { SetupOptions } from './options.js';
import { type PlanContext, ranksPerGroup, threadsPerRank } from './setup.js';

/** A setup whose strategy is one that there is. */
export type SettledSetup = SetupOptions & { readonly parallelism: StrategyName };

/** Replaces `parallelism: 'auto'` by what a plan recommends for these ranks, and says so. */
export async function settleStrategy(
  model: OpenModel,
  setup: SetupOptions,
  request: GenerationRequest,
  image: DrawnImage,
  context: PlanContext,
): Promise<SettledSetup> {
  const { parallelism = defaultStrategy } = setup;
  if (parallelism !== 'auto') return { ...setup, parallelism };
  // What says how a strategy is to be set up needs that strategy.
  refuseForeignOptions(parallelism, setup);
  const ranks = ranksPerGroup(setup);
  if (ranks === 1) return { ...setup, parallelism: defaultStrategy };
  const { observer, signal } = context;
  const { choices } = await makePlan(
    {
      image: plannedImage(model, image),
      rankCounts: [ranks],
      options: {
        guided: guidanceOf(request) !== undefined,
        allowSplit: setup.splitBatch ?? true,
        parallelisms: strategiesFor(model.outline.model),
        given: setup,
      },
      steps: request.numInferenceSteps,
      threads: () => threadsPerRank(setup),
      weights: setup.weights ?? 'auto',
    },
    await machineProfiles(false, observer, signal),
  );
  const allowed = setup.useCfgParallel ? choices.filter(({ splitBatch }) => splitBatch) : choices;
  const recommendation = recommend(allowed);
  if (recommendation === undefined) return { ...setup, parallelism: fallbackStrategy };
  const { choice, reason } = recommendation;
  const measured = choice.measured ? `; ${measuredText(choice.measured)}` : '';
  observer.note(`--parallelism auto: ${choiceText(choice)}: ${reason}${measured}`);
  return {
    ...setup,
    ...choice.settings,
    parallelism: choice.parallelism,
    splitBatch: choice.splitBatch,
  };
}

/** When a prediction's figures were taken: "measured 2026-01-31 at load 0.4". */
export function measuredText({ time, load }: { readonly time: string; readonly load: number }): string {
  return `measured ${time.slice(0, 10)} at load ${load.toFixed(1)}`;
}

/** Pictures of a call on a device. */
export interface DrawnImage {
  readonly device: Device;
  readonly geometry: Geometry;
  readonly images: number;
}

/** Pictures as plans look at them. */
export function plannedImage(
  { outline, scheduler }: OpenModel,
  { device, geometry, images }: DrawnImage,
): PlannedImage {
  const { latent, textTokens } = geometry;
  return { device, model: outline.model, ...latent, textTokens, images, scheduler };
}
