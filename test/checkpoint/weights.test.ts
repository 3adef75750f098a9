import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { loadWeights } from '../../src/checkpoint/weights.js';
import { float32, int64 } from '../../src/tensor/tensor.js';
import { bytesOf, writeStored } from '../support/stored-file.js';

let folder: string;
let unet: string;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'distri-weights-')));
  unet = join(folder, 'unet');
  await mkdir(unet);
});
afterEach(() => rm(folder, { recursive: true }));

const weights = {
  'conv_in.weight': float32([2, 3]),
  'conv_in.bias': float32([2]),
  position_ids: int64([1, 2]),
};

function write(name: string, tensors = weights as Parameters<typeof writeSafetensors>[1]): Promise<void> {
  return writeSafetensors(join(unet, name), tensors);
}

function writeIndex(name: string, map: Readonly<Record<string, unknown>>): Promise<void> {
  return writeFile(join(unet, name), JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }));
}

function refused(message: RegExp, variant?: string): Promise<void> {
  return assert.rejects(loadWeights(folder, 'unet', { variant }), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'checkpoint');
    assert.match(error.message, message);
    assert.ok(error.message.includes(unet) && !error.message.includes('\n'));
    return true;
  });
}

describe('weights', () => {
  it('are used in place when they are float32', async () => {
    await write('diffusion_pytorch_model.safetensors');
    const source = await loadWeights(folder, 'unet');
    const entry = source.get('conv_in.weight', [2, 3]);
    assert.equal(entry.file, join(unet, 'diffusion_pytorch_model.safetensors'));
    assert.equal(entry.dtype, 'F32');
    assert.deepEqual([...source.names()].sort(), Object.keys(weights).sort());
    assert.equal(source.has('conv_in.bias'), true);
    assert.equal(source.has('conv_out.bias'), false);
  });

  it('that a conversion has found not to be finite are refused when a model wants them', async () => {
    const half = (name: string, bits: number) =>
      ({ name, dtype: 'F16', shape: [1], bytes: bytesOf(Uint16Array.of(bits)) }) as const;
    const file = join(unet, 'model.safetensors');
    await writeStored(file, [half('mask', 0xfc00), half('w', 0x3c00), half('x', 0x7e00)]);
    const source = await loadWeights(folder, 'unet', { conversionDir: join(folder, 'cache') });
    assert.equal(source.get('w', [1]).dtype, 'F32');
    assert.throws(() => source.get('x', [1]), {
      code: 'checkpoint',
      message: `${file}: tensor "x" has numbers that are NaN or infinite`,
    });
  });

  it('of transformers are found by their own name', async () => {
    await write('model.safetensors');
    assert.ok((await loadWeights(folder, 'unet')).has('conv_in.bias'));
  });

  it('that are missing, misshapen or no floats are named', async () => {
    await write('model.safetensors');
    const source = await loadWeights(folder, 'unet');
    const file = join(unet, 'model.safetensors');
    assert.throws(() => source.get('conv_in.wieght', [2, 3]), {
      code: 'checkpoint',
      message: `${file}: has no tensor "conv_in.wieght"; near names: conv_in.weight, conv_in.bias`,
    });
    assert.throws(() => source.get('xyz', [1]), { message: `${file}: has no tensor "xyz"` });
    assert.throws(() => source.get('conv_in.weight', [3, 2]), {
      message: `${file}: tensor "conv_in.weight" has shape [2, 3], but the model needs [3, 2]`,
    });
    assert.throws(() => source.get('conv_in.bias', [2, 1]), /has shape \[2\], but the model needs \[2, 1\]/);
    assert.throws(() => source.get('position_ids', [1, 2]), /has type I64, but weights are/);
  });

  it('in pickle files only are refused with the way out', async () => {
    await writeFile(join(unet, 'diffusion_pytorch_model.bin'), '');
    await refused(/only PyTorch pickle files \(diffusion_pytorch_model.bin\).*safe_serialization=True/);
  });

  it('that are absent are refused', async () => {
    await refused(/no weights: expected/);
    await assert.rejects(loadWeights(folder, 'vae'), {
      message: `${join(folder, 'vae')}: no such file or folder`,
    });
  });
});

describe('variants', () => {
  it('are left out when there are weights without one', async () => {
    await write('model.safetensors', { plain: float32([1]) });
    await write('model.fp16.safetensors', { half: float32([1]) });
    assert.deepEqual([...(await loadWeights(folder, 'unet')).names()], ['plain']);
    assert.deepEqual([...(await loadWeights(folder, 'unet', { variant: 'fp16' })).names()], ['half']);
  });

  it('are chosen automatically when there is only one', async () => {
    await write('diffusion_pytorch_model.fp16.safetensors');
    assert.ok((await loadWeights(folder, 'unet')).has('conv_in.bias'));
  });

  it('must be chosen when there are several', async () => {
    await write('model.fp16.safetensors');
    await write('model.non_ema.safetensors');
    await refused(
      /several variants.*--variant; there are "fp16" \(model.fp16.safetensors\), "non_ema" \(model.non_ema.safetensors\)$/,
    );
  });

  it('that do not exist are refused with those that do', async () => {
    await write('model.safetensors');
    await write('model.fp16.safetensors');
    await refused(
      /no weights of variant "bf16"; there are "fp16" \(model.fp16.safetensors\), no variant \(model.safetensors\)$/,
      'bf16',
    );
  });
});

describe('sharded weights', () => {
  const shards = [
    'diffusion_pytorch_model-00001-of-00002.safetensors',
    'diffusion_pytorch_model-00002-of-00002.safetensors',
  ];
  const [first = '', second = ''] = shards;

  async function writeShards(index = 'diffusion_pytorch_model.safetensors.index.json'): Promise<void> {
    await write(first, { a: float32([1]), stray: float32([1]) });
    await write(second, { b: float32([2]) });
    await writeIndex(index, { a: first, b: second });
  }

  it('are found through their index', async () => {
    await writeShards();
    const source = await loadWeights(folder, 'unet');
    assert.equal(source.get('a', [1]).file, join(unet, first));
    assert.equal(source.get('b', [2]).file, join(unet, second));
    assert.equal(source.has('stray'), false);
  });

  for (const index of [
    'diffusion_pytorch_model.safetensors.index.fp16.json',
    'diffusion_pytorch_model.fp16.safetensors.index.json',
  ]) {
    it(`have a variant when the index is called ${index}`, async () => {
      await writeShards(index);
      await write('diffusion_pytorch_model.safetensors', { plain: float32([1]) });
      assert.ok((await loadWeights(folder, 'unet', { variant: 'fp16' })).has('b'));
      assert.ok((await loadWeights(folder, 'unet')).has('plain'));
    });
  }

  it('without their index are refused', async () => {
    await write(first);
    await refused(/shards without their index/);
  });

  it('with a shard missing are refused', async () => {
    await writeShards();
    await rm(join(unet, second));
    await refused(/1 of 2 shards are missing: diffusion_pytorch_model-00002-of-00002.safetensors$/);
  });

  it('whose index names shards by what a terminal obeys are refused legibly', async () => {
    await writeShards();
    const name = `\u001b[31m${'x'.repeat(3000)}.safetensors`;
    await writeIndex('diffusion_pytorch_model.safetensors.index.json', { a: first, b: name });
    await refused(/1 of 2 shards are missing: \\u001b\[31mx{80,90}\.\.\.$/);
  });

  it('with a tensor elsewhere than the index says are refused', async () => {
    await writeShards();
    await writeIndex('diffusion_pytorch_model.safetensors.index.json', { a: first, b: first });
    await refused(/tensor "b" is not in .*00001-of-00002.safetensors, where it is said to be/);
  });

  for (const outside of ['../x.safetensors', '/etc/passwd', 'a/../../x.safetensors', '', 7, 'a\0b']) {
    it(`cannot lead to ${JSON.stringify(outside)}`, async () => {
      await writeShards();
      await writeIndex('diffusion_pytorch_model.safetensors.index.json', { a: outside });
      await refused(/tensor "a" is said to be in .*, which is no file name inside the folder/);
    });
  }

  it('with an index without a map are refused', async () => {
    await writeFile(join(unet, 'model.safetensors.index.json'), '{"weight_map": []}');
    await refused(/has no object "weight_map"/);
  });
});
