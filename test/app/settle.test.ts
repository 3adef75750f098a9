import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openModel } from '../../src/app/model.js';
import { type Observer, silent } from '../../src/app/observer.js';
import type { SetupOptions } from '../../src/app/options.js';
import { planDrawing } from '../../src/app/plan-drawing.js';
import { embeddedModel } from '../../src/base/package.js';
import { strategyNames } from '../../src/parallel/registry.js';

const folder = await mkdtemp(join(tmpdir(), 'distri-settle-'));
process.env.DISTRI_CACHE = folder;
after(() => rm(folder, { recursive: true }));

const model = await openModel(embeddedModel, {}, silent);
const call = { prompt: 'x', height: 64, width: 64, numInferenceSteps: 10 };

/** What is planned for this setup, and what is told. */
async function settled(setup: SetupOptions) {
  const lines: string[] = [];
  const observer: Observer = { ...silent, note: (line) => lines.push(line) };
  const plan = await planDrawing(model, setup, call, {
    observer,
    signal: new AbortController().signal,
    simdLevel: 'v4',
  });
  return { plan, lines };
}

test('one rank has nothing to choose, and nothing is measured', async () => {
  const { plan, lines } = await settled({ ranks: 1, parallelism: 'auto' });
  assert.equal(plan.mode, 'one rank');
  assert.deepEqual(lines, []);
});

test('what says how one strategy is to be set up needs that strategy', async () => {
  await assert.rejects(settled({ ranks: 2, parallelism: 'auto', ulyssesDegree: 2 }), {
    code: 'usage',
    message: '--ulysses_degree needs --parallelism sequence, not auto',
  });
});

test('of several ranks a choice is made, told with its reason and when it was measured', async () => {
  const { plan, lines } = await settled({ ranks: 2, threads: 1, parallelism: 'auto' });
  assert.ok(strategyNames.includes(plan.parallel.parallelism));
  assert.match(lines[0] ?? '', /^measuring this machine: 2 x 1 threads, fp32 by lowered$/);
  assert.match(
    lines[1] ?? '',
    /^--parallelism auto: 2 ranks, .*: predicted .* a step.*; measured \d{4}-\d\d-\d\d at load [\d.]+$/,
  );
  const insisted = await settled({ ranks: 2, threads: 1, parallelism: 'auto', useCfgParallel: true });
  assert.equal(insisted.plan.topology.splitBatch, true);
  // Measured once.
  assert.equal(insisted.lines.length, 1);
});
