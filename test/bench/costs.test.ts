import assert from 'node:assert/strict';
import { it } from 'node:test';
import { planChoices } from '../../bench/choices.js';
import { costOf } from '../../bench/dit/costs.js';
import { mean, sum } from '../../src/base/numbers.js';

const size = 256;
const ranks = 4;
/** Of pixart-mid. */
const traffic = { ranks, layers: 16, hidden: 786_432, output: 65_536, latents: 16_384 };

it('the formulas of what strategies send are what ranks read of each other', async () => {
  const given = { warmupSteps: 1, splitScheme: 'row' } as const;
  const picture = { architecture: 'pixart-mid', size, steps: 4, dtype: 'fp32', given } as const;
  const { choices } = await planChoices(picture, { ranks, splitBatch: false });
  assert.equal(choices.length, 8);
  for (const { parallelism, settings, ranksPlan } of choices) {
    const read = mean(ranksPlan.map(({ steady }) => sum(steady.map(({ fetched }) => fetched))));
    const formula = costOf(parallelism, settings, ranks)?.bytes(traffic) ?? Number.NaN;
    assert.ok(Math.abs(formula / read - 1) < 1e-3, `${parallelism}: ${formula} of ${read}`);
  }
});
