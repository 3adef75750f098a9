import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stagesEnd } from '../../src/planning/stage-prediction.js';

test('a pipeline that is full takes the slowest stage for every part; filling it takes the others once', () => {
  // Three stages, four parts: the last part leaves the first stage at 4, and the latents are back in time.
  const times = () => [
    [1, 1, 1, 1],
    [1, 1, 1, 1],
    [1, 1, 1, 1],
  ];
  assert.equal(stagesEnd(times, 1), 4 + 2);
  assert.equal(stagesEnd(times, 10), 40 + 2);
  const uneven = () => [
    [1, 1, 1, 1],
    [2, 2, 2, 2],
    [1, 1, 1, 1],
  ];
  assert.equal(stagesEnd(uneven, 5), 1 + 5 * 8 + 1);
});

test('with fewer parts than stages, stages wait for the latents', () => {
  const times = () => [
    [1, 1],
    [1, 1],
    [1, 1],
  ];
  // A part goes round in 3, both of them one after the other: a step takes 3, not 2.
  assert.equal(stagesEnd(times, 5), 5 * 3 + 1);
});

test('one part is no pipeline, and the first stale step waits for the whole of the step before', () => {
  const times = (call: number) =>
    call < 2
      ? [[4], [4]]
      : [
          [2, 2],
          [2, 2],
        ];
  assert.equal(stagesEnd(times, 2), 2 * 8);
  assert.equal(stagesEnd(times, 3), 2 * 8 + 6);
});
