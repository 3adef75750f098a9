import type { CountedMacs } from '../../app/plan.js';
import { type ComputeKind, computeKinds } from '../../graph/operators.js';
import { choiceText } from '../../planning/choices.js';
import {
  type ChoiceMacs,
  forwardMacs,
  type MacsProfile,
  pictureMacs,
  type RankMacs,
  totalMacs,
} from '../../planning/macs.js';
import { table } from './table.js';

/** The kinds that multiply matrices. */
const multiplying = computeKinds.filter((kind) => kind !== 'other');

/** What was counted, of which model. */
export type CountedPicture = CountedMacs['picture'] & { readonly model: string };

/** What `distri profile-macs` prints; its `--json`. Multiply-accumulates. */
export interface MacsReport {
  readonly picture: CountedPicture;
  readonly choices: readonly (Omit<ChoiceMacs, 'ranksMacs'> & {
    readonly ranksMacs: readonly (RankMacs & {
      /** Of a picture as it is drawn. */
      readonly picture: number;
      /** Of a picture if everything were computed in every step. */
      readonly forward: number;
    })[];
  })[];
  readonly refused: MacsProfile['refused'];
}

export function macsReport(picture: CountedPicture, { choices, refused }: MacsProfile): MacsReport {
  const counted = choices.map(({ ranksMacs, ...choice }) => ({
    ...choice,
    ranksMacs: ranksMacs.map((rank) => ({
      ...rank,
      picture: pictureMacs(rank, picture.steps),
      forward: forwardMacs(rank, picture.steps),
    })),
  }));
  return { picture, choices: counted, refused };
}

export function macsLines({ picture, choices, refused }: MacsReport): string[] {
  const { model, width, height, steps, guided } = picture;
  const titles = ['', 'rank', ...multiplying, 'step', 'once', 'picture', 'profiled', 'share'];
  // One rank comes first.
  const whole = choices[0]?.ranksMacs[0]?.picture ?? Number.NaN;
  const { name: unit, text } = unitFor(whole);
  const rows = choices.flatMap((choice) =>
    distinctRanks(choice.ranksMacs).map(({ first, label }, index) => [
      index === 0 ? choiceText(choice) : '',
      label,
      ...multiplying.map((kind: ComputeKind) => text(first.step[kind])),
      text(totalMacs(first.step)),
      text(totalMacs(first.once)),
      text(first.picture),
      text(first.forward),
      `${((100 * first.picture) / whole).toFixed(1)} %`,
    ]),
  );
  return [
    `${model}: ${width}x${height}, ${steps} steps, ${guided ? 'with' : 'without'} guidance; ${unit} multiply-accumulates of each rank`,
    '',
    ...table(titles, rows, [0, 1]).map((line) => `  ${line}`),
    '',
    'step: one step; once: what does not depend on the step; picture: steps x step + once;',
    "profiled: steps x (step + once), as a profiler of forward passes has it; share: of one rank's picture",
    ...refused.map((choice) => `not possible: ${choiceText(choice)}: ${choice.reason}`),
  ];
}

/**
 * What distrifuser's scripts/profile_macs.py prints: a forward pass of the first rank, of as many ranks as
 * there are, which share a picture as they do where nobody says how.
 */
export function referenceLines({ choices }: MacsReport): string[] {
  const most = Math.max(...choices.map(({ ranks }) => ranks));
  const choice = choices.find(({ ranks }) => ranks === most);
  const first = choice?.ranksMacs[0];
  if (first === undefined) return [];
  const macs = totalMacs(first.step) + totalMacs(first.once);
  return [`MACs: ${(macs / 1e9).toFixed(1)}G (a forward pass of rank 0; ${choiceText(choice)})`];
}

/** Ranks of the same figures in one line: "0-3", "1, 3". */
function distinctRanks<T extends RankMacs>(ranks: readonly T[]): { first: T; label: string }[] {
  const groups = new Map<string, T[]>();
  for (const rank of ranks) {
    const key = JSON.stringify([rank.step, rank.once]);
    groups.set(key, [...(groups.get(key) ?? []), rank]);
  }
  return [...groups.values()].map((group) => ({
    first: group[0] as T,
    label: rangeText(group.map(({ rank }) => rank)),
  }));
}

/** Such as "0-3, 6". */
function rangeText(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const value of numbers) {
    const last = ranges.at(-1);
    if (last && last[1] === value - 1) last[1] = value;
    else ranges.push([value, value]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}

/** Writes numbers of multiply-accumulates in units of 10^12, or of 10^9 for small models. */
function unitFor(largest: number): { readonly name: string; readonly text: (macs: number) => string } {
  const exponent = largest >= 1e12 ? 12 : 9;
  return {
    name: `10^${exponent}`,
    text: (macs) => (macs === 0 ? '0' : (macs / 10 ** exponent).toPrecision(4)),
  };
}
