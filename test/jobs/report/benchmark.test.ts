import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DrawReport } from '../../../src/jobs/draw.js';
import { benchmarkFigures } from '../../../src/jobs/report/benchmark.js';

const memory = { peak: 900, anonymous: 500, file: 1, shared: 2, proportional: 3 };

function report(latency: number, waited: number): DrawReport {
  const exchange = { bytesPublished: 10, bytesFetched: 30, waited };
  return {
    latency,
    endToEnd: latency,
    timings: {
      starts: { text: 0, denoise: 100, decode: 800 },
      phases: { text: 100, denoise: 700, decode: 200 },
      steps: [400, 150, 100, 50],
    },
    exchanges: [
      exchange,
      exchange,
      { ...exchange, waited: 0 },
      { ...exchange, bytesPublished: 0, waited: 0 },
    ],
  };
}

test('first, synchronous and stale steps are told apart, times are seconds of the first rank', () => {
  const runs = [
    [report(1000, 4), report(5000, 2)],
    [report(3000, 8), report(5000, 2)],
  ];
  const figures = benchmarkFigures({ runs, load: 1500, memory: [memory, memory] }, 2, 0);
  assert.equal(figures.latencySeconds, 2);
  assert.equal(figures.loadSeconds, 1.5);
  assert.deepEqual(
    figures.phases.map(({ phase, count, min, max }) => [phase, count, min, max]),
    [
      ['call', 2, 1, 3],
      ['text', 2, 0.1, 0.1],
      ['firstStep', 2, 0.4, 0.4],
      ['synchronousStep', 2, 0.15, 0.15],
      ['staleStep', 4, 0.05, 0.1],
      ['decode', 2, 0.2, 0.2],
    ],
  );
  assert.deepEqual(figures.ranks[0], {
    rank: 0,
    peakMemoryBytes: 900,
    privateMemoryBytes: 500,
    exchanges: [
      { kind: 'synchronous', bytesPublished: 10, bytesFetched: 30, waitedSeconds: 0.006 },
      { kind: 'stale', bytesPublished: 5, bytesFetched: 30, waitedSeconds: 0 },
    ],
  });
});

test('what did not take place is absent', () => {
  const timings = { starts: { denoise: 0 }, phases: { denoise: 10 }, steps: [10] };
  const runs = [[{ latency: 10, endToEnd: 10, timings, exchanges: [] }]];
  const figures = benchmarkFigures({ runs, load: 0, memory: [memory] }, 1, 0.2);
  assert.deepEqual(
    figures.phases.map(({ phase }) => phase),
    ['call', 'firstStep'],
  );
  assert.deepEqual(figures.ranks[0]?.exchanges, []);
});
