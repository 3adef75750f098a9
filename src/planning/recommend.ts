import { secondsText } from '../base/numbers.js';
import type { PlannedChoice } from './plan.js';

/** A choice and why it is the best. */
export interface Recommendation {
  readonly choice: PlannedChoice;
  readonly reason: string;
}

/** Predictions that differ by less are as good as equal. */
const EQUAL = 1.03;

/**
 * The fastest choice that draws the picture well. Of those as good as equally fast, the exact ones come
 * first, then those with fewer ranks. Undefined where nothing was predicted.
 */
export function recommend(choices: readonly PlannedChoice[]): Recommendation | undefined {
  const candidates = choices.filter(({ recommendable }) => recommendable);
  const fastest = Math.min(...candidates.map(pictureTime));
  if (!Number.isFinite(fastest)) return undefined;
  const near = candidates.filter((choice) => pictureTime(choice) <= EQUAL * fastest);
  const [choice] = near.toSorted(
    (a, b) => Number(b.exact) - Number(a.exact) || a.ranks - b.ranks || pictureTime(a) - pictureTime(b),
  );
  return choice && { choice, reason: explain(choice, fastest, choices) };
}

function explain(choice: PlannedChoice, fastest: number, choices: readonly PlannedChoice[]): string {
  const step = `predicted ${secondsText(choice.prediction?.step ?? 0)} a step`;
  const single = choices.find(({ ranks }) => ranks === 1);
  const gain =
    single && choice.ranks > 1
      ? `, ${(pictureTime(single) / pictureTime(choice)).toFixed(2)}x of one rank`
      : '';
  const exact = choice.exact ? ' and exact' : '';
  return pictureTime(choice) === fastest
    ? `${step}${gain}: the fastest${exact}`
    : `${step}${gain}: about as fast as any${exact}`;
}

/** To the microsecond: sums of the same numbers in another order are the same. */
function pictureTime({ prediction }: PlannedChoice): number {
  return prediction ? Math.round(1e6 * prediction.picture) / 1e6 : Number.POSITIVE_INFINITY;
}
