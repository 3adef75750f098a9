import { sum } from '../base/numbers.js';
import { type ComputeKind, computeKinds } from '../graph/operators.js';
import type { GuidancePart } from '../parallel/topology.js';
import {
  type Choice,
  type ChoiceOptions,
  type JudgedChoice,
  judgeChoices,
  type LegalChoice,
} from './choices.js';
import type { Pause } from './plan.js';
import { RankProgram } from './rank-program.js';
import type { PlannedImage } from './rank-work.js';

export type MacsByKind = Readonly<Record<ComputeKind, number>>;

/** Multiply-accumulates of one rank. */
export interface RankMacs {
  readonly rank: number;
  readonly guidance: GuidancePart;
  /** Such as "latent rows 1 to 16 of 32". */
  readonly share: string;
  /** Of a step; the mean where steps alternate. */
  readonly step: MacsByKind;
  /** Of what is computed once per picture: keys and values of the text, and the like. */
  readonly once: MacsByKind;
}

/** One way to share a picture. */
export type ChoiceMacs = Choice & { readonly ranksMacs: readonly RankMacs[] };

export interface MacsProfile {
  readonly choices: readonly ChoiceMacs[];
  readonly refused: readonly Extract<JudgedChoice, { legal: false }>[];
}

/** Counts in the graphs that each rank would run, built without weights. */
export async function profileMacs(
  image: PlannedImage,
  rankCounts: readonly number[],
  options: ChoiceOptions,
  pause: Pause = async () => {},
): Promise<MacsProfile> {
  const judged = judgeChoices(image, rankCounts, options);
  const choices: ChoiceMacs[] = [];
  for (const choice of judged) if (choice.legal) choices.push(await choiceMacs(image, choice, pause));
  return { choices, refused: judged.filter((choice) => !choice.legal) };
}

async function choiceMacs(image: PlannedImage, legal: LegalChoice, pause: Pause): Promise<ChoiceMacs> {
  const { topology, options, legal: _, ...choice } = legal;
  const ranksMacs: RankMacs[] = [];
  for (const role of topology.roles) {
    await pause();
    const { share, macs, macsOnce } = RankProgram.build(image, topology, role, options);
    ranksMacs.push({ rank: role.rank, guidance: role.guidance, share, step: macs, once: macsOnce });
  }
  return { ...choice, ranksMacs };
}

/** Of all kinds together. */
export function totalMacs(macs: MacsByKind): number {
  return sum(computeKinds.map((kind) => macs[kind]));
}

/** Of a picture as it is drawn. */
export function pictureMacs({ step, once }: RankMacs, steps: number): number {
  return steps * totalMacs(step) + totalMacs(once);
}

/**
 * Of a picture if everything were computed in every step: a profiled forward pass times the number of steps.
 */
export function forwardMacs({ step, once }: RankMacs, steps: number): number {
  return steps * (totalMacs(step) + totalMacs(once));
}
