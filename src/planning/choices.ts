import { createParallelism } from '../parallel/create.js';
import type { ParallelismName, ParallelOptions } from '../pipelines/request.js';
import { DistriError } from '../runtime/errors.js';
import { planTopology, type RankRole, type Topology } from '../runtime/topology.js';
import { type PlannedImage, parallelismContext } from './rank-program.js';

/** One way to draw a picture. */
export interface Choice {
  readonly ranks: number;
  readonly parallelism: ParallelismName;
  readonly splitBatch: boolean;
}

/** A choice with what follows from it, or with the reason why it can't be had. */
export type JudgedChoice = Choice &
  (
    | { readonly legal: true; readonly topology: Topology; readonly options: ParallelOptions }
    | { readonly legal: false; readonly reason: string }
  );

export type LegalChoice = Extract<JudgedChoice, { legal: true }>;

export interface ChoiceOptions extends Omit<ParallelOptions, 'parallelism' | 'splitBatch'> {
  readonly guided: boolean;
  /** Whether ways that split the guidance's batch are looked at. */
  readonly allowSplit: boolean;
  readonly parallelisms: readonly ParallelismName[];
}

/** All ways for these numbers of ranks, legal or not. One rank has one way. */
export function judgeChoices(
  image: PlannedImage,
  rankCounts: readonly number[],
  options: ChoiceOptions,
): JudgedChoice[] {
  const splits = options.allowSplit ? [true, false] : [false];
  return rankCounts.flatMap((ranks) => {
    if (ranks === 1) return [judge(image, { ranks, parallelism: 'patch', splitBatch: false }, options)];
    return options.parallelisms.flatMap((parallelism) =>
      splits.map((splitBatch) => judge(image, { ranks, parallelism, splitBatch }, options)),
    );
  });
}

function judge(image: PlannedImage, choice: Choice, options: ChoiceOptions): JudgedChoice {
  const { guided, syncMode, warmupSteps, splitScheme } = options;
  const { ranks, parallelism, splitBatch } = choice;
  if (splitBatch && !guided) return refused(choice, 'without guidance there is no batch to split');
  if (splitBatch && ranks % 2 === 1)
    return refused(choice, `${ranks} ranks can't be halved; an even number can`);
  const topology = planTopology({ worldSize: ranks, guided, splitBatch });
  const parallel = { parallelism, splitBatch, syncMode, warmupSteps, splitScheme };
  try {
    createParallelism(parallelismContext(image, topology, topology.roles[0] as RankRole, parallel));
    return { ...choice, legal: true, topology, options: parallel };
  } catch (error) {
    if (error instanceof DistriError) return refused(choice, error.message);
    throw error;
  }
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
