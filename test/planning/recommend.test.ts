import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PlannedChoice } from '../../src/planning/plan.js';
import { recommend } from '../../src/planning/recommend.js';

/** A choice of which only this matters: seconds of a picture, and whether it is exact and wanted. */
function choice(
  ranks: number,
  picture: number | undefined,
  { exact = false, recommendable = true }: Partial<Pick<PlannedChoice, 'exact' | 'recommendable'>> = {},
): PlannedChoice {
  return {
    ranks,
    parallelism: 'patch',
    splitBatch: false,
    settings: {},
    threads: 1,
    weights: 'shared',
    synchronousSteps: 0,
    ranksPlan: [],
    prediction: picture === undefined ? undefined : { synchronousStep: 0, step: picture / 50, picture },
    measured: undefined,
    exact,
    recommendable,
  };
}

test('the fastest is recommended, with what it gains over one rank', () => {
  const [one, two, four] = [choice(1, 10, { exact: true }), choice(2, 6), choice(4, 4)];
  const { choice: best, reason } = recommend([one, two, four]) ?? {};
  assert.equal(best, four);
  assert.equal(reason, 'predicted 80.0 ms a step, 2.50x of one rank: the fastest');
});

test('of what is about as fast the exact one is recommended, then that of fewer ranks', () => {
  const exact = choice(4, 4.1, { exact: true });
  assert.equal(recommend([choice(4, 4), exact])?.choice, exact);
  assert.match(recommend([choice(4, 4), exact])?.reason ?? '', /about as fast as any and exact$/);
  const fewer = choice(2, 4.1);
  assert.equal(recommend([choice(4, 4), fewer])?.choice, fewer);
  // More than 3 % is slower.
  const slower = choice(4, 4.2, { exact: true });
  assert.notEqual(recommend([choice(4, 4), slower])?.choice, slower);
});

test('what draws bad pictures is never recommended, however fast', () => {
  const wanted = choice(2, 6);
  assert.equal(recommend([choice(4, 1, { recommendable: false }), wanted])?.choice, wanted);
  assert.equal(recommend([choice(4, 1, { recommendable: false })]), undefined);
});

test('without predictions nothing is recommended', () => {
  assert.equal(recommend([choice(1, undefined), choice(2, undefined)]), undefined);
  assert.equal(recommend([]), undefined);
});
