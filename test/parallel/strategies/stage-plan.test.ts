import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type StageOptions, StagePlan } from '../../../src/parallel/strategies/stage-plan.js';
import { planTopology, type RankRole } from '../../../src/parallel/topology.js';

function plan(ranks: number, options: StageOptions, layers = 8, patchRows = 16, splitBatch = false) {
  const topology = planTopology({ worldSize: ranks, guided: true, splitBatch });
  return StagePlan.make({ topology, options, layers, patchRows });
}

const heights = (made: StagePlan) => made.bands.map(({ rows }) => rows);

test('bands have one height but for the last, and are as many as that height makes', () => {
  assert.deepEqual(heights(plan(1, { numPipelinePatch: 3 })), [6, 6, 4]);
  assert.deepEqual(heights(plan(1, { numPipelinePatch: 5 })), [4, 4, 4, 4]);
  assert.deepEqual(heights(plan(1, { numPipelinePatch: 7 })), [3, 3, 3, 3, 3, 1]);
  assert.deepEqual(heights(plan(4, {}, 8, 20)), [5, 5, 5, 5]);
  assert.deepEqual(heights(plan(1, {})), [16]);
});

test('asking for as many bands as there are makes the same ones', () => {
  for (let rows = 1; rows <= 40; rows++) {
    for (let patches = 1; patches <= rows; patches++) {
      const made = heights(plan(1, { numPipelinePatch: patches }, 8, rows));
      assert.deepEqual(heights(plan(1, { numPipelinePatch: made.length }, 8, rows)), made);
      assert.equal(
        made.reduce((sum, height) => sum + height, 0),
        rows,
      );
      assert.ok(made.length <= patches);
    }
  }
});

test('ranks of a stage cut each band, and the whole, into parts that follow each other', () => {
  for (const [lanes, patches, rows] of [
    [2, 4, 16],
    [3, 3, 16],
    [4, 1, 18],
    [2, 5, 15],
  ] as const) {
    const made = plan(lanes, { sequenceDegree: lanes, numPipelinePatch: patches }, 8, rows);
    for (const part of [made.whole, ...made.bands]) {
      let next = part.start;
      for (const { start, rows: own } of part.lanes) {
        assert.equal(start, next);
        assert.ok(own > 0);
        next += own;
      }
      assert.equal(next, part.start + part.rows);
    }
  }
});

test('layers are shared out as evenly as they go, or as asked for', () => {
  assert.deepEqual(plan(3, {}).cuts, [0, 3, 6, 8]);
  assert.deepEqual(plan(4, {}, 9).cuts, [0, 3, 5, 7, 9]);
  assert.deepEqual(plan(3, { attnLayerNumForPp: [1, 2, 5] }).cuts, [0, 1, 3, 8]);
});

test('ranks of a stage follow each other, then the stages, then the halves of the guidance', () => {
  const topology = planTopology({ worldSize: 12, guided: true, splitBatch: true });
  const made = StagePlan.make({ topology, options: { sequenceDegree: 2 }, layers: 8, patchRows: 16 });
  assert.equal(made.stages, 3);
  const rank9 = topology.roles[9] as RankRole;
  assert.equal(rank9.guidance, 'conditional');
  assert.deepEqual(made.place(rank9), { stage: 1, lane: 1 });
  assert.equal(made.rankAt(rank9, { stage: 2, lane: 1 }), 11);
});

test('what the numbers do not allow is refused', () => {
  assert.throws(() => plan(9, {}), /9 stages are too many for 8 layers; at most 8 would work/);
  assert.throws(
    () => plan(2, { numPipelinePatch: 17 }),
    /17 pipeline patches are too many for 16 rows of patches/,
  );
  assert.throws(
    () => plan(3, { sequenceDegree: 2 }),
    /a divisor of the 3 ranks of a pipeline for the ranks of a stage/,
  );
  assert.throws(() => plan(2, { attnLayerNumForPp: [8] }), /2 numbers of layers above 0 with the sum 8/);
  assert.throws(() => plan(2, { attnLayerNumForPp: [8, 0] }), /2 numbers of layers above 0/);
  assert.throws(() => plan(2, { attnLayerNumForPp: [4, 5] }), /with the sum 8/);
  assert.throws(
    () => plan(4, { sequenceDegree: 4, numPipelinePatch: 4 }, 8, 13),
    /the last of 4 pipeline patches has 1 of 13 rows of patches, too few for 4 ranks per stage/,
  );
});
