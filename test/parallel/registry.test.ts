import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  completeOptions,
  describeMode,
  folderName,
  isExact,
  ownOptions,
  refuseForeignOptions,
  requireStrategy,
  strategies,
  strategiesFor,
  strategyNames,
  strategyOptions,
  synchronousSteps,
} from '../../src/parallel/registry.js';
import { planTopology, type Topology } from '../../src/parallel/topology.js';
import { outlineOf } from '../support/planned.js';
import { parallelOf } from '../support/requests.js';

const whole = (worldSize: number) => planTopology({ worldSize, guided: true, splitBatch: false });
const split = (worldSize: number) => planTopology({ worldSize, guided: true, splitBatch: true });

test('a mode says when the ranks are synchronous', () => {
  const patch = parallelOf('patch');
  const mode = (topology: Topology, steps = 50) => describeMode(patch, topology, steps);
  assert.equal(mode(split(1)), 'one rank');
  assert.equal(mode(split(2)), 'batch split, nothing stale');
  assert.equal(mode(split(3)), 'displaced patches, corrected_async_gn, 5 synchronous steps, then stale');
  assert.match(
    describeMode(parallelOf('patch', { syncMode: 'full_sync' }), split(4), 50),
    /all steps synchronous/,
  );
  assert.match(mode(split(4), 3), /all steps synchronous/);
});

test('a mode says how stages divide pictures and layers', () => {
  const mode = (ranks: number, options: Parameters<typeof parallelOf>[1]) =>
    describeMode(parallelOf('pipefusion', options), whole(ranks), 20);
  assert.equal(
    mode(4, { numPipelinePatch: 8 }),
    'pipefusion, 4 stages, 8 patches, 1 synchronous step, then stale',
  );
  assert.equal(
    mode(4, { numPipelinePatch: 3, sequenceDegree: 2, warmupSteps: 0 }),
    'pipefusion, 2 stages of 2 ranks, 3 patches, 0 synchronous steps, then stale',
  );
  assert.equal(
    mode(1, { numPipelinePatch: 4, warmupSteps: 30 }),
    'pipefusion, 1 stage, 4 patches, 20 synchronous steps',
  );
  assert.equal(mode(2, { numPipelinePatch: 1 }), 'pipefusion, 2 stages, whole pictures');
});

test('defaults are those of the strategy itself, where several have an option', () => {
  assert.equal(completeOptions('patch', {}).warmupSteps, 4);
  assert.equal(completeOptions('pipefusion', {}).warmupSteps, 1);
  assert.equal(completeOptions('pipefusion', { warmupSteps: 3 }).warmupSteps, 3);
});

test('options of the wrong kind are refused with what would be right', () => {
  const wrong = (options: object) => completeOptions('patch', options);
  assert.throws(() => wrong({ warmupSteps: -1 }), /Expected an integer of at least 0 for --warmup_steps/);
  assert.throws(() => wrong({ syncMode: 'async' }), /Expected one of corrected_async_gn, .* for --sync_mode/);
  assert.throws(
    () => wrong({ attnLayerNumForPp: [] }),
    /Expected integers of at least 1 for --attn_layer_num/,
  );
});

test('options of another strategy are refused, but for those that command lines of the public scripts have', () => {
  for (const { spec, owners } of strategyOptions) {
    const value = spec.default ?? (spec.takes.type === 'integers' ? [1] : 1);
    const camel = spec.name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    for (const name of strategyNames) {
      const check = () => refuseForeignOptions(name, { [camel]: value });
      if (owners.includes(name) || spec.tolerated) check();
      else
        assert.throws(
          check,
          new RegExp(`^DistriError: --${spec.name} needs --parallelism ${owners.join(' or ')}, not ${name}$`),
        );
    }
  }
});

test('strategies of blocks are for models that have some', async () => {
  const [unet, transformer] = [await outlineOf('sd-1.5'), await outlineOf('pixart-mid')];
  assert.deepEqual(strategiesFor(transformer.model), strategyNames);
  for (const name of strategyNames) {
    const check = () => requireStrategy(name, unet.model);
    if (strategies[name].needs === 'nothing') check();
    else assert.throws(check, /divides a row of blocks on tokens, .* patch, tensor, naive_patch would work/);
  }
  assert.throws(
    () => requireStrategy('nothing' as 'patch', unet.model),
    /^DistriError: Expected one of patch, /,
  );
});

test('what is exact has no stale steps', () => {
  for (const name of strategyNames) {
    for (const given of [{}, { syncMode: 'full_sync' as const }, { numPipelinePatch: 1 }]) {
      const options = parallelOf(name, given);
      if (isExact(options, whole(4))) assert.equal(synchronousSteps(options, whole(4), 20), 20, name);
    }
  }
  assert.equal(isExact(parallelOf('patch'), whole(4)), false);
  assert.equal(isExact(parallelOf('patch'), split(2)), true);
  assert.equal(isExact(parallelOf('naive_patch'), whole(2)), false);
  assert.equal(isExact(parallelOf('tensor'), whole(4)), true);
});

test('a strategy is told by its own options alone', () => {
  assert.deepEqual(ownOptions(parallelOf('patch', { syncMode: 'no_sync', numPipelinePatch: 3 })), {
    parallelism: 'patch',
    split_batch: false,
    sync_mode: 'no_sync',
    warmup_steps: 4,
  });
  assert.equal(folderName(parallelOf('patch')), 'warmup4-corrected_async_gn');
  const names = strategyNames.map((name) => folderName(parallelOf(name)));
  assert.equal(new Set(names).size, names.length);
});
