import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cells, csvTable, sweepRow } from '../../bench/dit/sweep-table.js';

const rank = { rank: 0, privateMemoryBytes: 1, peakMemoryBytes: 5e6 };
const exchange = { kind: 'synchronous', bytesPublished: 9e6, bytesFetched: 4e6, waitedSeconds: 0 } as const;
const figures = { count: 1, min: 0, median: 0.25, p90: 1, max: 1, mean: 1 };

describe('the sweep', () => {
  it('has the memory of the rank with most, and what stale steps take and send where there are any', () => {
    const row = sweepRow('2 ranks, patch, whole batch', {
      latencySeconds: 1.5,
      phases: [
        { phase: 'synchronousStep', ...figures, median: 0.5 },
        { phase: 'staleStep', ...figures },
      ],
      ranks: [
        { ...rank, exchanges: [exchange, { ...exchange, kind: 'stale', bytesFetched: 1e6 }] },
        {
          ...rank,
          rank: 1,
          peakMemoryBytes: 7e6,
          exchanges: [exchange, { ...exchange, kind: 'stale', bytesFetched: 2e6 }],
        },
      ],
    });
    assert.deepEqual(cells(row), ['2 ranks, patch, whole batch', '1.50', '250', '7', '1.50']);
  });

  it('quotes cells with commas in CSV', () => {
    assert.equal(csvTable(['a', 'b'], [['1, 2', '"x"']]), 'a,b\r\n"1, 2","""x"""\r\n');
  });
});
