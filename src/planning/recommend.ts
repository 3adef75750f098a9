import { secondsText } from '../base/numbers.js';
import type { SyncMode } from '../pipelines/request.js';
import type { PlannedChoice } from './plan.js';

/** A choice and why it is the best. */
export interface Recommendation {
  readonly choice: PlannedChoice;
  readonly reason: string;
}

/** Predictions that differ by less are as good as equal. */
const EQUAL = 1.03;

/**
 * The fastest choice that draws the picture well: naive patches have seams, and one stage is no pipeline. Of those as good as equally fast, the exact ones come first, then
 * those with fewer ranks. Undefined where nothing was predicted.
 */
export function recommend(choices: readonly PlannedChoice[], syncMode: SyncMode): Recommendation | undefined {
  const candidates = choices.filter(
    (choice) =>
      (choice.parallelism !== 'naive_patch' || patches(choice) === 1) && choice.pipefusion?.stages !== 1,
  );
  const fastest = Math.min(...candidates.map(pictureTime));
  if (!Number.isFinite(fastest)) return undefined;
  const near = candidates.filter((choice) => pictureTime(choice) <= EQUAL * fastest);
  const [choice] = near.toSorted(
    (a, b) =>
      Number(isExact(b, syncMode)) - Number(isExact(a, syncMode)) ||
      a.ranks - b.ranks ||
      pictureTime(a) - pictureTime(b),
  );
  return choice && { choice, reason: explain(choice, fastest, choices, syncMode) };
}

/** Whether it draws the picture of one rank, but for rounding. */
export function isExact(choice: PlannedChoice, syncMode: SyncMode): boolean {
  return (
    patches(choice) === 1 ||
    choice.parallelism === 'tensor' ||
    choice.parallelism === 'sequence' ||
    (choice.parallelism === 'patch' && syncMode === 'full_sync')
  );
}

function explain(
  choice: PlannedChoice,
  fastest: number,
  choices: readonly PlannedChoice[],
  syncMode: SyncMode,
): string {
  const step = `predicted ${secondsText(choice.prediction?.step ?? 0)} a step`;
  const single = choices.find(({ ranks }) => ranks === 1);
  const gain =
    single && choice.ranks > 1
      ? `, ${(pictureTime(single) / pictureTime(choice)).toFixed(2)}x of one rank`
      : '';
  const exact = isExact(choice, syncMode) ? ' and exact' : '';
  return pictureTime(choice) === fastest
    ? `${step}${gain}: the fastest${exact}`
    : `${step}${gain}: about as fast as any${exact}`;
}

function patches({ ranks, splitBatch }: PlannedChoice): number {
  return splitBatch ? ranks / 2 : ranks;
}

/** To the microsecond: sums of the same numbers in another order are the same. */
function pictureTime({ prediction }: PlannedChoice): number {
  return prediction ? Math.round(1e6 * prediction.picture) / 1e6 : Number.POSITIVE_INFINITY;
}
