import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Footprint } from './footprint.js';
import { type Sample, soak, type Variation, variations } from './soaking.js';

/** JavaScript's heap grows in steps of 16 MiB; `npm run soak` looks closer. */
const LIMIT_BYTES = 64 * 2 ** 20;

/** Two samples after the same kind of picture must be equal, but for some memory. */
function assertEqualHoldings(before: Sample, after: Sample): void {
  for (const [process, held] of after.entries()) {
    const earlier = before[process] as Footprint;
    const { anonymous, threads: _, ...counts } = held;
    const { anonymous: earlierAnonymous, threads: __, ...earlierCounts } = earlier;
    assert.deepEqual(counts, earlierCounts, `process ${process}`);
    const grown = anonymous - earlierAnonymous;
    assert.ok(grown < LIMIT_BYTES, `process ${process} has ${(grown / 2 ** 20).toFixed(0)} MiB more`);
  }
}

const cases: readonly [name: string, turns: readonly Variation[]][] = [
  ['that keep their models', variations.slice(0, 1)],
  ['that load other models each time', variations],
];

for (const [name, turns] of cases) {
  test(`ranks ${name} hold no more after picture 16 than after picture 8`, async () => {
    const samples = await soak(16, turns, () => {});
    assertEqualHoldings(samples[7] as Sample, samples[15] as Sample);
  });
}
