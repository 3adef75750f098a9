import { DistriError } from '../base/errors.js';
import { createParallelism } from '../parallel/registry.js';
import { planTopology, type RankRole, type Topology } from '../parallel/topology.js';
import type { ParallelismName, ParallelOptions } from '../pipelines/request.js';
import { parallelismContext } from './rank-program.js';
import type { PlannedImage } from './rank-work.js';
import { planStages } from './stage-work.js';

/** One way to draw a picture. */
export interface Choice {
  readonly ranks: number;
  readonly parallelism: ParallelismName;
  readonly splitBatch: boolean;
  /** Of `sequence`: the degrees, whose product is the number of ranks of an image. */
  readonly sequence?: { readonly ulyssesDegree: number; readonly ringDegree: number };
  /** Of `pipefusion`: stages times ranks of a stage are the ranks of an image. */
  readonly pipefusion?: { readonly stages: number; readonly sequence: number; readonly patches: number };
}

/** A choice with what follows from it, or with the reason why it can't be had. */
export type JudgedChoice = Choice &
  (
    | { readonly legal: true; readonly topology: Topology; readonly options: ParallelOptions }
    | { readonly legal: false; readonly reason: string }
  );

export type LegalChoice = Extract<JudgedChoice, { legal: true }>;

export interface ChoiceOptions extends Pick<ParallelOptions, 'syncMode' | 'warmupSteps' | 'splitScheme'> {
  readonly guided: boolean;
  /** Whether ways that split the guidance's batch are looked at. */
  readonly allowSplit: boolean;
  readonly parallelisms: readonly ParallelismName[];
  /** Of pipefusion, which counts them differently; by default `warmupSteps`. */
  readonly pipefusionWarmupSteps?: number | undefined;
  /** Of pipefusion; by default as many as stages. */
  readonly pipefusionPatches?: number | undefined;
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
      splits.flatMap((splitBatch) =>
        waysOf({ ranks, parallelism, splitBatch }, options).map((choice) => judge(image, choice, options)),
      ),
    );
  });
}

/** A choice with every pair of degrees that its strategy can have. */
function waysOf(choice: Choice, { pipefusionPatches }: ChoiceOptions): readonly Choice[] {
  const { ranks, parallelism, splitBatch } = choice;
  const sharing = splitBatch ? ranks / 2 : ranks;
  // Where the batch can't be split, that is all there is to say.
  if (!Number.isInteger(sharing)) return [choice];
  const divisors = Array.from({ length: sharing }, (_, index) => sharing - index).filter(
    (degree) => sharing % degree === 0,
  );
  if (parallelism === 'sequence') {
    return divisors.map((ulyssesDegree) => ({
      ...choice,
      sequence: { ulyssesDegree, ringDegree: sharing / ulyssesDegree },
    }));
  }
  if (parallelism === 'pipefusion') {
    const several = divisors.filter((stages) => stages > 1 || sharing === 1);
    return several.map((stages) => ({
      ...choice,
      pipefusion: { stages, sequence: sharing / stages, patches: pipefusionPatches ?? stages },
    }));
  }
  return [choice];
}

function judge(image: PlannedImage, choice: Choice, options: ChoiceOptions): JudgedChoice {
  const { guided } = options;
  const { ranks, splitBatch } = choice;
  if (splitBatch && !guided) return refused(choice, 'without guidance there is no batch to split');
  if (splitBatch && ranks % 2 === 1)
    return refused(choice, `${ranks} ranks can't be halved; an even number can`);
  const topology = planTopology({ worldSize: ranks, guided, splitBatch });
  const parallel = parallelOptions(choice, options);
  try {
    return { ...settle(choice, image, topology, parallel), legal: true, topology, options: parallel };
  } catch (error) {
    if (error instanceof DistriError) return refused(choice, error.message);
    throw error;
  }
}

function parallelOptions(choice: Choice, options: ChoiceOptions): ParallelOptions {
  const { parallelism, splitBatch, sequence, pipefusion } = choice;
  const { syncMode, splitScheme } = options;
  const staged = parallelism === 'pipefusion' ? options.pipefusionWarmupSteps : undefined;
  const warmupSteps = staged ?? options.warmupSteps;
  return { parallelism, splitBatch, syncMode, warmupSteps, splitScheme, sequence, pipefusion };
}

/** The choice with the patches that there really are. Refuses what the model or the size of the picture does not allow, as the ranks do. */
function settle(choice: Choice, image: PlannedImage, topology: Topology, parallel: ParallelOptions): Choice {
  if (choice.pipefusion && image.model.blocks) {
    const { bands } = planStages(image, topology, parallel);
    return { ...choice, pipefusion: { ...choice.pipefusion, patches: bands.length } };
  }
  createParallelism(parallelismContext(image, topology, topology.roles[0] as RankRole, parallel));
  return choice;
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
