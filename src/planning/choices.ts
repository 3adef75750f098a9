import { DistriError } from '../base/errors.js';
import {
  completeOptions,
  defaultStrategy,
  type ParallelOptions,
  requireStrategy,
  type StrategyName,
  type StrategyOptions,
  strategies,
  strategyOf,
} from '../parallel/registry.js';
import { planTopology, type RankRole, type Topology } from '../parallel/topology.js';
import { checkThresholding } from '../pipelines/denoise/stage-loop.js';
import { type PlannedImage, sharedModel } from './rank-work.js';

/** One way to draw a picture. */
export interface Choice {
  /** All of them, whichever part of the batch they have. */
  readonly ranks: number;
  /** How ranks that share an image do so. */
  readonly parallelism: StrategyName;
  /** Whether one half of the ranks predicts without the prompt, and the other with it. */
  readonly splitBatch: boolean;
  /** What tells this way of the strategy from its others: degrees, stages. */
  readonly settings: Partial<StrategyOptions>;
}

/** A choice with what follows from it, or with the reason why it can't be had. */
export type JudgedChoice = Choice &
  (
    | { readonly legal: true; readonly topology: Topology; readonly options: ParallelOptions }
    | {
        /** It can't be had. */
        readonly legal: false;
        /** In a sentence for people. */
        readonly reason: string;
      }
  );

export type LegalChoice = Extract<JudgedChoice, { legal: true }>;

export interface ChoiceOptions {
  readonly guided: boolean;
  /** Whether ways that split the guidance's batch are looked at. */
  readonly allowSplit: boolean;
  readonly parallelisms: readonly StrategyName[];
  /** What users have said of strategies; the rest is as the strategies have it. */
  readonly given: Partial<StrategyOptions>;
}

/** All ways for these numbers of ranks, legal or not. One rank has one way. */
export function judgeChoices(
  image: PlannedImage,
  rankCounts: readonly number[],
  options: ChoiceOptions,
): JudgedChoice[] {
  const splits = options.allowSplit ? [true, false] : [false];
  return rankCounts.flatMap((ranks) => {
    if (ranks === 1) {
      return [
        judge(image, { ranks, parallelism: defaultStrategy, splitBatch: false, settings: {} }, options),
      ];
    }
    return options.parallelisms.flatMap((parallelism, index) =>
      splits
        // Ranks that share no image do the same whatever the strategy.
        .filter((splitBatch) => index === 0 || ranksPerImage({ ranks, splitBatch }) !== 1)
        .flatMap((splitBatch) => waysOf({ ranks, parallelism, splitBatch, settings: {} }, options))
        .map((choice) => judge(image, choice, options)),
    );
  });
}

/** Such as "4 ranks, patch, split batch". */
export function choiceText(choice: Choice | undefined): string {
  if (choice === undefined) return 'nothing';
  const { ranks, parallelism, splitBatch, settings } = choice;
  if (ranks === 1) return '1 rank';
  if (isAlone(choice)) return `${ranks} ranks, split batch`;
  const sharing = ranksPerImage(choice);
  const options = completeOptions(parallelism, settings);
  const way = Number.isInteger(sharing) ? strategies[parallelism].describeWay(options, sharing) : '';
  return `${ranks} ranks, ${parallelism}${way === '' ? '' : ` ${way}`}, ${splitBatch ? 'split' : 'whole'} batch`;
}

/** Ranks that share each image of the guidance's batch. */
export function ranksPerImage({ ranks, splitBatch }: Pick<Choice, 'ranks' | 'splitBatch'>): number {
  return splitBatch ? ranks / 2 : ranks;
}

/** Whether every rank has an image of the guidance's batch for itself, so that no strategy is asked. */
function isAlone(choice: Choice): boolean {
  return ranksPerImage(choice) === 1 && strategies[choice.parallelism].kind === 'layers';
}

/** A choice with every way that its strategy has. */
function waysOf(choice: Choice, { given }: ChoiceOptions): readonly Choice[] {
  const sharing = ranksPerImage(choice);
  // Where the batch can't be split, that is all there is to say.
  if (!Number.isInteger(sharing)) return [choice];
  const options = completeOptions(choice.parallelism, given);
  const ways = strategies[choice.parallelism].ways(options, sharing);
  return ways.map((settings) => ({ ...choice, settings }));
}

function judge(image: PlannedImage, choice: Choice, { guided, given }: ChoiceOptions): JudgedChoice {
  const { ranks, splitBatch, parallelism } = choice;
  if (splitBatch && !guided) return refused(choice, 'without guidance there is no batch to split');
  if (splitBatch && ranks % 2 === 1)
    return refused(choice, `${ranks} ranks can't be halved; an even number can`);
  const topology = planTopology({ worldSize: ranks, guided, splitBatch });
  try {
    requireStrategy(parallelism, image.model);
    const options = optionsOf(choice, given);
    return { ...settle(choice, image, topology, options), legal: true, topology, options };
  } catch (error) {
    if (error instanceof DistriError) return refused(choice, error.message);
    throw error;
  }
}

function optionsOf(
  { parallelism, splitBatch, settings }: Choice,
  given: Partial<StrategyOptions>,
): ParallelOptions {
  return { ...completeOptions(parallelism, { ...given, ...settings }), parallelism, splitBatch };
}

/** How the ranks of a choice that can be had are set up. */
export function setupOf(
  choice: Choice,
  { guided, given }: ChoiceOptions,
): { readonly topology: Topology; readonly options: ParallelOptions } {
  const { ranks: worldSize, splitBatch } = choice;
  return { topology: planTopology({ worldSize, guided, splitBatch }), options: optionsOf(choice, given) };
}

/**
 * The choice with the patches that there really are. Refuses what the model or the picture does not allow, as
 * the ranks do.
 */
function settle(choice: Choice, image: PlannedImage, topology: Topology, options: ParallelOptions): Choice {
  const strategy = strategyOf(options);
  const model = sharedModel(image);
  if (strategy.kind === 'layers') {
    strategy.create({ topology, role: topology.roles[0] as RankRole, options, model });
    return choice;
  }
  const plan = strategy.plan({ topology, options, model });
  if (image.scheduler) checkThresholding(image.scheduler, plan);
  return { ...choice, settings: { ...choice.settings, numPipelinePatch: plan.bands.length } };
}

function refused(choice: Choice, reason: string): JudgedChoice {
  return { ...choice, legal: false, reason };
}

/** 1, the powers of two up to `ranks`, and `ranks`. */
export function comparedRankCounts(ranks: number): number[] {
  const counts = [];
  for (let count = 1; count < ranks; count *= 2) counts.push(count);
  return [...counts, ranks];
}
