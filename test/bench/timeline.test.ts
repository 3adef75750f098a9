import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { barsOf, type TraceEvent } from '../../bench/timeline/bars.js';
import { plotTimeline } from '../../bench/timeline/plot.js';

function event(
  cat: TraceEvent['cat'],
  name: string,
  pid: number,
  ms: readonly [number, number],
  args: object,
) {
  const [start, end] = ms;
  const details = { step: 0, patch: 0, ...args };
  return { ph: 'X', cat, name, pid, ts: 1000 * start, dur: 1000 * (end - start), args: details } as const;
}

const pipeline: readonly TraceEvent[] = [
  event('step', 'step 1', 0, [90, 220], { step: 0 }),
  event('work', 'compute', 0, [100, 200], { step: 0 }),
  event('work', 'receive hidden states', 1, [110, 210], { step: 0 }),
  event('work', 'schedule', 1, [210, 211], { step: 0 }),
  event('work', 'compute', 0, [220, 240], { step: 1, patch: 0 }),
  event('work', 'compute', 0, [240, 260], { step: 1, patch: 1 }),
  event('work', 'compute', 0, [260, 280], { step: 2, patch: 0 }),
];

describe('a timeline', () => {
  it('is of what steps consist of where that is known, from the first of it on', () => {
    const bars = barsOf(pipeline, 2);
    const shown = bars.map(({ rank, start, end, group, waits, labels }) => [
      ...[rank, start, end, group, waits],
      labels[0],
    ]);
    assert.deepEqual(shown, [
      [0, 0, 100, undefined, false, 'step 1, whole'],
      [1, 10, 110, undefined, true, undefined],
      [0, 120, 140, 0, false, '2.1'],
      [0, 140, 160, 1, false, '2.2'],
    ]);
  });

  it('is of whole steps otherwise, with the time that they waited at their end', () => {
    const bars = barsOf([event('step', 'step 1', 1, [50, 70], { waitedMs: 5 })], 3);
    assert.deepEqual(
      bars.map(({ start, end, waits }) => [start, end, waits]),
      [
        [0, 15, false],
        [15, 20, true],
      ],
    );
  });

  it('is drawn with a row for each rank, bars to scale, and labels where they fit', () => {
    const svg = plotTimeline(barsOf(pipeline, 2));
    assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /);
    for (const text of ['rank 0', 'rank 1', 'step 1, whole', '2.1', '2.2'])
      assert.ok(svg.includes(`>${text}<`));
    const widths = [...svg.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(([, width]) => Number(width));
    assert.equal(widths.length, 4);
    const [waiting = 0, whole = 0, patch = 0] = widths;
    assert.ok(Math.abs(waiting - whole) < 1 && Math.abs(whole - 5 * patch) < 5, widths.join());
    assert.match(svg, /<title>rank 0: compute, 2\.2, 20\.0 ms<\/title>/);
    const narrow = barsOf([...pipeline, event('work', 'compute', 1, [5000, 5001], { step: 1, patch: 1 })], 2);
    assert.ok(!plotTimeline(narrow).includes('>2.1<'));
  });
});
