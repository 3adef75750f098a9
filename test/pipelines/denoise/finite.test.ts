import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeSafetensors } from '../../../src/checkpoint/formats/safetensors.js';
import { loadWeights } from '../../../src/checkpoint/weights.js';
import { planTopology } from '../../../src/parallel/topology.js';
import { requireFinite } from '../../../src/pipelines/denoise/finite.js';
import { Refusal } from '../../../src/ranks/refusal.js';
import { float32 } from '../../../src/tensor/tensor.js';
import { onlyRank } from '../../support/in-process.js';
import { outlineOf } from '../../support/planned.js';
import { parallelOf } from '../../support/requests.js';

const folder = await mkdtemp(join(tmpdir(), 'distri-finite-'));
after(() => rm(folder, { recursive: true }));

await mkdir(join(folder, 'unet'));

const { model } = await outlineOf('tiny-shapes');
const topology = planTopology({ worldSize: 4, guided: true, splitBatch: true });
const place = { step: 6, steps: 20 };
const damaged = Float32Array.of(0, Number.NaN);

/** Where latents were computed, with a UNet that has this weight. */
async function computedWith(weight: number, syncMode: 'full_sync' | 'stale_gn') {
  const path = join(folder, 'unet', 'diffusion_pytorch_model.safetensors');
  await writeSafetensors(path, { 'conv_in.bias': float32([2], Float32Array.of(1, weight)) });
  const weights = await loadWeights(folder, 'unet', {});
  return { model, weights, parallel: parallelOf('patch', { syncMode }), topology, ranks: onlyRank };
}

test('latents that are numbers are taken as they are', async () => {
  await requireFinite(Float32Array.of(0, -3e38, 1), place, await computedWith(1, 'stale_gn'));
});

/** That all ranks refuse, with this. */
function refusal(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Refusal);
    assert.equal(error.reason.code, code);
    assert.match(error.message, message);
    return true;
  };
}

test('latents that are no numbers are told with the step, and what may help against stale data', async () => {
  const told = /^the latents are not finite after step 7 of 20 on rank 0; another --sync_mode/;
  for (const value of [Number.NaN, Infinity, -Infinity]) {
    const where = await computedWith(1, 'stale_gn');
    await assert.rejects(requireFinite(Float32Array.of(0, value), place, where), refusal('rank', told));
  }
});

test('where nothing is stale, no mode is blamed', async () => {
  const told = /though all weights of the unet are; look at scheduler_config\.json/;
  const where = await computedWith(1, 'full_sync');
  await assert.rejects(requireFinite(damaged, place, where), refusal('rank', told));
});

test('weights that are no numbers are named', async () => {
  const told = /because weights of the unet are not: "conv_in\.bias"/;
  const where = await computedWith(Number.NaN, 'stale_gn');
  await assert.rejects(requireFinite(damaged, place, where), refusal('checkpoint', told));
});
