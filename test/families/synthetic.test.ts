import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { embeddedModel } from '../../src/base/package.js';
import { type Architecture, readArchitecture } from '../../src/families/architectures.js';
import { loadPipeline } from '../../src/families/load-pipeline.js';
import { stableDiffusionXL } from '../../src/families/stable-diffusion-xl.js';
import { noiseModelBytes, openSynthetic, prepareSynthetic } from '../../src/families/synthetic.js';
import { readUNet2DConditionConfig } from '../../src/models/unet-2d-condition.js';
import { PartCache } from '../../src/pipelines/part-cache.js';
import { onlyRank, silent } from '../support/in-process.js';
import { outlineOf } from '../support/planned.js';
import { loadOf, parallelOf, requestOf } from '../support/requests.js';

const cacheDir = await mkdtemp(join(tmpdir(), 'distri-random-'));
after(() => rm(cacheDir, { recursive: true }));

const tiny = await readArchitecture('tiny-shapes');
const weights = join(cacheDir, 'random-weights', 'tiny', 'unet', 'diffusion_pytorch_model.safetensors');

/** Prepares the weights and tells whether they were written. */
async function prepare(changes: Architecture['config'] = {}): Promise<boolean> {
  let written = false;
  const onProgress = () => {
    written = true;
  };
  await prepareSynthetic(changed(changes), { cacheDir, onProgress });
  return written;
}

function changed(config: Architecture['config'], name = 'tiny'): Architecture {
  return { ...tiny, name, config: { ...tiny.config, ...config } };
}

test('random weights are written once, whole, and again when they are cut short or of another config', async () => {
  assert.equal(await prepare(), true);
  const { size } = await stat(weights);
  assert.ok(size > noiseModelBytes((await outlineOf('tiny-shapes')).model));
  const first = await readFile(weights);
  assert.equal(await prepare(), false);

  await truncate(weights, size - 4);
  assert.equal(await prepare(), true);
  assert.deepEqual(await readFile(weights), first);

  assert.equal(await prepare({ layers_per_block: 2 }), true);
  assert.equal(await prepare(), true);
  assert.deepEqual((await readdir(join(weights, '..'))).sort(), [
    'config.json',
    'diffusion_pytorch_model.safetensors',
  ]);
});

test('random weights keep the size of what goes through them; norms are the identity', async () => {
  await prepare();
  const folder = join(cacheDir, 'random-weights', 'tiny');
  const source = await openSynthetic(folder, stableDiffusionXL).weights('unet');
  const { file, offset, length } = source.get('conv_in.weight', [32, 4, 3, 3]);
  const bytes = (await readFile(file)).subarray(offset, offset + length);
  const values = new Float32Array(Uint8Array.from(bytes).buffer);
  const variance = values.reduce((sum, value) => sum + value ** 2, 0) / values.length;
  assert.ok(Math.abs(variance * 36 - 1) < 0.1, `variance ${variance}`);
  const norm = source.get('conv_norm_out.weight', [32]);
  assert.equal((await readFile(norm.file)).readFloatLE(norm.offset), 1);
});

test('the architecture of the embedded model is that of its checkpoint', async () => {
  const raw = JSON.parse(await readFile(join(embeddedModel, 'unet', 'config.json'), 'utf8'));
  assert.deepEqual(readUNet2DConditionConfig(tiny.config), readUNet2DConditionConfig(raw));
});

test("sdxl-base-1.0 has the public checkpoint's number of parameters", async () => {
  const { model } = await outlineOf('sdxl-base-1.0');
  assert.equal(noiseModelBytes(model), 4 * 2_567_463_684);
});

test('weights that the disk has no room for are refused before anything is written', async () => {
  await assert.rejects(
    prepareSynthetic(changed({ block_out_channels: [32768, 65536, 131072] }, 'huge'), { cacheDir }),
    {
      code: 'output',
      message:
        /writing random weights of huge needs [\d.]+ [GT]B, but .* are free; make room or set DISTRI_CACHE/,
    },
  );
  assert.deepEqual(await readdir(join(cacheDir, 'random-weights', 'huge', 'unet')), ['config.json']);
});

test('an unknown architecture is answered with the known ones', async () => {
  await assert.rejects(readArchitecture('sdxl'), {
    code: 'usage',
    message:
      /^Expected one of flux-dev, flux-mid, flux-schnell, pixart-mid, pixart-xl-2, sd-1\.5, sdxl-base-1\.0, sdxl-mid, tiny-shapes for --random_weights but received "sdxl"$/,
  });
});

test('a transformer with random weights denoises', async () => {
  const mid = await readArchitecture('pixart-mid');
  const few = { num_attention_heads: 1, cross_attention_dim: 48, caption_channels: 16, num_layers: 2 };
  const small = { ...mid, name: 'small-pixart', config: { ...mid.config, ...few } };
  const load = loadOf('pixart', await prepareSynthetic(small, { cacheDir }), { synthetic: true });
  const request = requestOf({
    guidanceScale: 4.5,
    scheduler: 'dpm-solver',
    trace: false,
    familyOptions: { useResolutionBinning: false },
  });
  const spec = { load, request, parallel: parallelOf('patch') };
  const cache = new PartCache();
  const { latents } = await (await loadPipeline(spec, onlyRank, cache, silent)).generate(request, silent);
  cache.release();
  assert.deepEqual(latents.shape, [1, 4, 8, 8]);
  assert.ok(latents.data.every(Number.isFinite));
});
