import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { readJsonObject } from '../../src/base/json.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { makeFp16Checkpoint } from '../support/fp16-checkpoint.js';
import { seededCheckpoint } from '../support/seeded-checkpoint.js';

const golden = await seededCheckpoint('tiny-sdxl');

let folder: string;
let copy: string;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'distri-checkpoint-')));
  copy = join(folder, 'copy');
});
afterEach(() => rm(folder, { recursive: true }));

describe('a checkpoint', () => {
  it('gives its components, configurations and weights', async () => {
    const checkpoint = await openCheckpoint(golden);
    assert.equal(checkpoint.pipelineClass, 'StableDiffusionXLPipeline');
    assert.equal(checkpoint.modelIndex.force_zeros_for_empty_prompt, true);
    assert.equal(checkpoint.has('text_encoder_2'), true);
    assert.equal(checkpoint.has('image_encoder'), false);
    assert.equal(checkpoint.has('_class_name'), false);
    assert.equal((await checkpoint.config('unet'))._class_name, 'UNet2DConditionModel');
    assert.equal((await checkpoint.config('scheduler'))._class_name, 'EulerDiscreteScheduler');
    assert.equal((await checkpoint.config('tokenizer_2')).tokenizer_class, 'CLIPTokenizer');
    const vae = await checkpoint.weights('vae');
    assert.equal(vae.get('post_quant_conv.bias', [4]).length, 16);
  });

  it('in half precision is converted', async () => {
    await makeFp16Checkpoint(golden, copy);
    const checkpoint = await openCheckpoint(copy, { variant: 'fp16' });
    const reports: [number, number][] = [];
    const vae = await checkpoint.weights('vae', {
      conversionDir: join(folder, 'cache'),
      onProgress: (...report) => reports.push(report),
    });
    assert.equal(vae.get('post_quant_conv.bias', [4]).length, 16);
    const [done, total] = reports.at(-1) ?? [];
    assert.equal(done, total);
  });

  async function refused(nameOrPath: string, message: RegExp): Promise<void> {
    await assert.rejects(
      openCheckpoint(nameOrPath, { offline: true }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'checkpoint');
        assert.match(error.message, message);
        assert.ok(!error.message.includes('\n'));
        return true;
      },
    );
  }

  it('that is no folder is refused', async () => {
    await refused(join(folder, 'absent'), /absent: no such folder, and not an id/);
    const file = join(folder, 'model.safetensors');
    await writeFile(file, '');
    await refused(file, /a file, but a checkpoint is a folder/);
  });

  it('without a model index is refused, with a hint for a lone component', async () => {
    await refused(folder, /not a checkpoint in diffusers' layout: it has no model_index.json$/);
    await refused(join(golden, 'unet'), /perhaps one component of it: it has no model_index.json$/);
  });

  async function withIndex(change: Readonly<Record<string, unknown>>): Promise<void> {
    await cp(golden, copy, { recursive: true });
    const path = join(golden, 'model_index.json');
    await writeFile(
      join(copy, 'model_index.json'),
      JSON.stringify({ ...(await readJsonObject(path)), ...change }),
    );
  }

  it('of an unknown class is refused with the known ones', async () => {
    await withIndex({ _class_name: 'SanaPipeline' });
    await refused(
      copy,
      /pipeline class "SanaPipeline" is not supported; supported: StableDiffusionXLPipeline, StableDiffusionPipeline, PixArtAlphaPipeline, FluxPipeline/,
    );
    await withIndex({ _class_name: undefined });
    await refused(copy, /pipeline class undefined is not supported/);
  });

  it('with a component set to null is refused', async () => {
    await withIndex({ text_encoder: [null, null] });
    await refused(
      copy,
      /StableDiffusionXLPipeline needs the component text_encoder, which is \[null,null\] here/,
    );
  });

  it('without the folder of a component is refused', async () => {
    await withIndex({});
    await rm(join(copy, 'vae'), { recursive: true });
    await refused(copy, /has no folder vae, which model_index.json names/);
  });

  it('without a configuration is refused when that is asked for', async () => {
    await withIndex({});
    await rm(join(copy, 'unet', 'config.json'));
    const checkpoint = await openCheckpoint(copy);
    await assert.rejects(checkpoint.config('unet'), {
      message: `${join(copy, 'unet', 'config.json')}: no such file or folder`,
    });
  });

  it('at a path like a hub id is the folder', async (test) => {
    const before = process.cwd();
    test.after(() => process.chdir(before));
    await mkdir(join(folder, 'org'));
    await cp(golden, join(folder, 'org', 'name'), { recursive: true });
    process.chdir(folder);
    const checkpoint = await openCheckpoint('org/name', { offline: true });
    assert.equal(checkpoint.directory, join(folder, 'org', 'name'));
  });
});
