import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeMode, describeRanks, describeTimings } from '../../../src/commands/output/summary.js';
import { planTopology } from '../../../src/parallel/topology.js';
import type { ParallelOptions } from '../../../src/pipelines/request.js';

const parallel: ParallelOptions = {
  parallelism: 'patch',
  splitScheme: 'alternate',
  splitBatch: true,
  syncMode: 'corrected_async_gn',
  warmupSteps: 4,
};

test('it says which rank computes what', () => {
  const topology = planTopology({ worldSize: 4, guided: true, splitBatch: true });
  assert.deepEqual(describeRanks(topology, { describe: ({ patch }) => `part ${patch}` }), [
    'rank 0: unconditional half of the batch, part 0',
    'rank 1: unconditional half of the batch, part 1',
    'rank 2: conditional half of the batch, part 0',
    'rank 3: conditional half of the batch, part 1',
  ]);
});

test('it says when the ranks are synchronous', () => {
  const ranks = (worldSize: number) => planTopology({ worldSize, guided: true, splitBatch: true });
  assert.equal(describeMode(ranks(1), parallel, 50), 'one rank');
  assert.equal(describeMode(ranks(2), parallel, 50), 'batch split, nothing stale');
  assert.equal(
    describeMode(ranks(3), parallel, 50),
    'displaced patches, corrected_async_gn, 5 synchronous steps, then stale',
  );
  assert.match(describeMode(ranks(4), { ...parallel, syncMode: 'full_sync' }, 50), /all steps synchronous/);
  assert.match(describeMode(ranks(4), parallel, 3), /all steps synchronous/);
});

test('it says how a pipeline divides pictures and layers', () => {
  const topology = (worldSize: number) => planTopology({ worldSize, guided: true, splitBatch: false });
  const pipefusion = { ...parallel, parallelism: 'pipefusion', warmupSteps: 1 } as const;
  assert.equal(
    describeMode(topology(4), { ...pipefusion, pipefusion: { patches: 8 } }, 20),
    'pipefusion, 4 stages, 8 patches, 1 synchronous step, then stale',
  );
  assert.equal(
    describeMode(topology(4), { ...pipefusion, pipefusion: { patches: 3, sequence: 2 }, warmupSteps: 0 }, 20),
    'pipefusion, 2 stages of 2 ranks, 3 patches, 0 synchronous steps, then stale',
  );
  assert.equal(
    describeMode(topology(1), { ...pipefusion, pipefusion: { patches: 4 }, warmupSteps: 30 }, 20),
    'pipefusion, 1 stage, 4 patches, 20 synchronous steps',
  );
  assert.equal(
    describeMode(topology(2), { ...pipefusion, pipefusion: { patches: 1 } }, 20),
    'pipefusion, 2 stages, whole pictures',
  );
});

test('the table has a line per phase and tells first, synchronous and stale steps apart', () => {
  const timings = {
    phases: { load: 1234, text: 56, denoise: 900, decode: 78 },
    steps: [400, 150, 150, 100, 100],
  };
  assert.deepEqual(describeTimings(timings, 3, 12_345), [
    'load      1.234 s',
    'text      0.056 s',
    'denoise   0.900 s  first step 0.400 s, 2 synchronous 0.150 s each, 2 stale 0.100 s each',
    'decode    0.078 s',
    'total      12.3 s',
  ]);
});
