import { hasWarmUp, type Mode } from '../modes.js';
import type { Setting } from './grid.js';
import { type Comparison, compareSettings, type Likeness } from './likeness.js';

/** What the paper found, as pairs of settings: the first of each should be closer to one rank's pictures. */
export interface Claim {
  readonly text: string;
  readonly pairs: readonly (readonly [closer: Setting, than: Setting])[];
}

/** `open`: the difference is within two standard errors. */
export type Verdict = 'yes' | 'no' | 'open';

export interface CheckedPair extends Comparison {
  readonly closer: Setting;
  readonly than: Setting;
  readonly verdict: Verdict;
}

export interface CheckedClaim {
  readonly text: string;
  readonly pairs: readonly CheckedPair[];
}

/** What was drawn. */
export interface StudyAxes {
  readonly modes: readonly Mode[];
  /** From few to many. */
  readonly ranks: readonly number[];
  readonly warmups: readonly number[];
}

/** The paper's modes from the closest to the furthest. */
const paperOrder = [
  'patch sync_gn',
  'patch corrected_async_gn',
  'patch stale_gn',
  'patch separate_gn',
  'naive_patch alternate',
];

/** Those that there are settings for. */
export function checkClaims(likeness: Likeness, axes: StudyAxes): CheckedClaim[] {
  return paperClaims(axes)
    .filter(({ pairs }) => pairs.length > 0)
    .map(({ text, pairs }) => ({
      text,
      pairs: pairs.map(([closer, than]) => checkPair(likeness, closer, than)),
    }));
}

function checkPair(likeness: Likeness, closer: Setting, than: Setting): CheckedPair {
  const comparison = compareSettings(likeness, closer, than);
  const { difference, error } = comparison;
  const verdict = Math.abs(difference) <= 2 * error ? 'open' : difference > 0 ? 'yes' : 'no';
  return { closer, than, ...comparison, verdict };
}

function paperClaims({ modes, ranks, warmups }: StudyAxes): Claim[] {
  const known = paperOrder.flatMap((name) => modes.filter((mode) => mode.name === name));
  const warmed = modes.filter(hasWarmUp);
  const cells = ranks.flatMap((count) => warmups.map((warmupSteps) => ({ ranks: count, warmupSteps })));
  const settings = (mode: Mode) =>
    cells.map((cell) => ({ ...cell, mode, ...(hasWarmUp(mode) ? {} : { warmupSteps: undefined }) }));
  return [
    ...successive(known).map(([closer, than]) => ({
      text: `${closer.name} is closer than ${than.name}`,
      pairs: zip(settings(closer), settings(than)),
    })),
    {
      text: 'more warm-up is closer',
      pairs: warmed.flatMap((mode) =>
        ranks.flatMap((count) =>
          successive(warmups).map(([less, more]): [Setting, Setting] => [
            { mode, ranks: count, warmupSteps: more },
            { mode, ranks: count, warmupSteps: less },
          ]),
        ),
      ),
    },
    {
      text: 'fewer ranks are closer',
      pairs: warmed.flatMap((mode) =>
        warmups.flatMap((warmupSteps) =>
          successive(ranks).map(([fewer, more]): [Setting, Setting] => [
            { mode, ranks: fewer, warmupSteps },
            { mode, ranks: more, warmupSteps },
          ]),
        ),
      ),
    },
  ];
}

/** [a, b, c] -> [a, b], [b, c]. */
function successive<T>(values: readonly T[]): [T, T][] {
  return values.slice(1).map((value, index) => [values[index] as T, value]);
}

function zip<T>(first: readonly T[], second: readonly T[]): [T, T][] {
  return first.map((value, index) => [value, second[index] as T]);
}
