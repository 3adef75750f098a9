import { hasWarmup, type Setting, type StudyMode, studyModes } from './grid.js';
import { type Comparison, compareSettings, type Likeness } from './likeness.js';

/** What the paper found, as a comparison of pairs of settings: the first of each should be closer to one rank's pictures. */
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

export function checkClaims(
  likeness: Likeness,
  ranks: readonly number[],
  warmups: readonly number[],
): CheckedClaim[] {
  return paperClaims(ranks, warmups).map(({ text, pairs }) => ({
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

function paperClaims(ranks: readonly number[], warmups: readonly number[]): Claim[] {
  const cells = ranks.flatMap((count) => warmups.map((warmupSteps) => ({ ranks: count, warmupSteps })));
  const between = (closer: StudyMode, than: StudyMode): Claim['pairs'] =>
    cells.map((cell) => [
      { ...cell, mode: closer },
      { ...cell, mode: than, ...(hasWarmup(than) ? {} : { warmupSteps: undefined }) },
    ]);
  const displaced = studyModes.filter(hasWarmup);
  return [
    { text: 'sync_gn is closer than corrected_async_gn', pairs: between('sync_gn', 'corrected_async_gn') },
    { text: 'corrected_async_gn is closer than stale_gn', pairs: between('corrected_async_gn', 'stale_gn') },
    { text: 'stale_gn is closer than separate_gn', pairs: between('stale_gn', 'separate_gn') },
    { text: 'separate_gn is closer than naive_patch', pairs: between('separate_gn', 'naive_patch') },
    {
      text: 'more warm-up is closer',
      pairs: displaced.flatMap((mode) =>
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
      pairs: displaced.flatMap((mode) =>
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
function successive(values: readonly number[]): [number, number][] {
  return values.slice(1).map((value, index) => [values[index] as number, value]);
}
