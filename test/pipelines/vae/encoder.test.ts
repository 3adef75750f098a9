import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.js';
import { openDevice } from '../../../src/engine/device.js';
import { openCheckpoint } from '../../../src/families/open-checkpoint.js';
import { readAutoencoderKLConfig } from '../../../src/models/autoencoder-kl.js';
import { LatentDecoder } from '../../../src/pipelines/vae/decoder.js';
import {
  type LatentDistribution,
  LatentEncoder,
  sampleLatents,
  scaleLatents,
} from '../../../src/pipelines/vae/encoder.js';
import { TorchGenerator } from '../../../src/tensor/random-torch.js';
import { float32, type Tensor } from '../../../src/tensor/tensor.js';
import { assertClose, openDiffusers, tinySdxl } from '../../support/golden.js';
import { withVae } from '../../support/vae-checkpoint.js';

const options = { threads: 1, weights: 'private', rank: 0, communicator: undefined } as const;

async function encode(checkpoint: Checkpoint, pixels: Tensor<'float32'>) {
  const config = readAutoencoderKLConfig(await checkpoint.config('vae'));
  const [, , height, width] = pixels.shape as [number, number, number, number];
  const encoder = await LatentEncoder.load(openDevice(), checkpoint, config, { height, width }, options);
  try {
    return (await encoder.encode(pixels)) as LatentDistribution;
  } finally {
    encoder.release();
  }
}

async function decode(checkpoint: Checkpoint, latents: Tensor<'float32'>): Promise<Tensor<'float32'>> {
  const config = readAutoencoderKLConfig(await checkpoint.config('vae'));
  const [, , rows, columns] = latents.shape as [number, number, number, number];
  const decoder = await LatentDecoder.load(openDevice(), checkpoint, config, { rows, columns }, options);
  try {
    return (await decoder.decode(latents)) as Tensor<'float32'>;
  } finally {
    decoder.release();
  }
}

const noise = (shape: readonly number[]) => new TorchGenerator(7n).randn(shape);

/** Quant convs that do nothing. */
function withoutEffect(weights: Map<string, Tensor>): Map<string, Tensor> {
  const changed = new Map(weights);
  for (const [name, size] of [
    ['quant_conv', 8],
    ['post_quant_conv', 4],
  ] as const) {
    const identity = float32([size, size, 1, 1]);
    for (let i = 0; i < size; i++) identity.data[i * size + i] = 1;
    changed.set(`${name}.weight`, identity);
    changed.set(`${name}.bias`, float32([size]));
  }
  return changed;
}

describe('pictures become latents', () => {
  it('with the mean and variance that diffusers has', async () => {
    const file = await openDiffusers('trace_vae_encoder_sdxl');
    const pixels = (await file.read('in:pixels')) as Tensor<'float32'>;
    const { mean, logvar } = await encode(await openCheckpoint(tinySdxl), pixels);
    assertClose(mean, await file.read('out:mean'), { relative: 1e-5 }, 'mean');
    assertClose(logvar, await file.read('out:logvar'), { relative: 1e-5 }, 'logvar');
  });

  it('several at a time as one by one', async () => {
    const checkpoint = await openCheckpoint(tinySdxl);
    const pixels = noise([2, 3, 16, 24]);
    const both = await encode(checkpoint, pixels);
    const second = await encode(checkpoint, float32([1, 3, 16, 24], pixels.data.slice(3 * 16 * 24)));
    assert.deepEqual(both.mean.shape, [2, 4, 2, 3]);
    assert.deepEqual(both.mean.data.subarray(4 * 2 * 3), second.mean.data);
    assert.deepEqual(both.logvar.data.subarray(4 * 2 * 3), second.logvar.data);
  });

  it('that are drawn from their distribution and scaled as the UNet has them', async () => {
    const mean = float32([1, 2, 1, 2], Float32Array.of(1, 2, 3, 4));
    const logvar = float32([1, 2, 1, 2], Float32Array.of(0, 2 * Math.log(2), 0, 0));
    const drawn = sampleLatents({ mean, logvar }, float32([1, 2, 1, 2], Float32Array.of(0.5, 0.5, 0, -1)));
    assert.deepEqual([...drawn.data], [1.5, 3, 3, 3]);
    const config = readAutoencoderKLConfig({
      block_out_channels: [32],
      up_block_types: ['UpDecoderBlock2D'],
      latent_channels: 2,
      scaling_factor: 0.5,
      latents_mean: [1, 2],
      latents_std: [1, 4],
    });
    assert.deepEqual([...scaleLatents(drawn, config).data], [0.25, 1, 0.125, 0.125]);
  });

  it('only when their size is one that the model has', async () => {
    await assert.rejects(
      encode(await openCheckpoint(tinySdxl), noise([1, 3, 20, 16])),
      /a multiple of 8 for the picture's height/,
    );
  });
});

describe('a VAE', () => {
  const older = { to_q: 'query', to_k: 'key', to_v: 'value', 'to_out.0': 'proj_attn' };
  const rename = (name: string) =>
    Object.entries(older).reduce((old, [now, then]) => old.replace(`.0.${now}.`, `.0.${then}.`), name);

  it('may have the attention names and convolutions of the first checkpoints', async () => {
    const asThen = (weights: Map<string, Tensor>) =>
      new Map(
        [...weights].map(([name, tensor]) => {
          const convolution = rename(name) !== name && name.endsWith('.weight');
          const shape = convolution ? [...tensor.shape, 1, 1] : tensor.shape;
          return [rename(name), { ...tensor, shape } as Tensor];
        }),
      );
    const now = await openCheckpoint(tinySdxl);
    const [pixels, latents] = [noise([1, 3, 16, 16]), noise([1, 4, 2, 2])];
    const [mean, decoded] = [(await encode(now, pixels)).mean, await decode(now, latents)];
    await withVae(asThen, {}, async (then) => {
      assert.ok((await then.weights('vae')).has('decoder.mid_block.attentions.0.proj_attn.weight'));
      assert.deepEqual((await encode(then, pixels)).mean, mean);
      assert.deepEqual(await decode(then, latents), decoded);
    });
  });

  it('may have no quant convs', async () => {
    const [pixels, latents] = [noise([1, 3, 16, 16]), noise([1, 4, 2, 2])];
    const both = async (checkpoint: Checkpoint) => ({
      mean: (await encode(checkpoint, pixels)).mean,
      decoded: await decode(checkpoint, latents),
    });
    const wanted = await withVae(withoutEffect, {}, both);
    const none = (weights: Map<string, Tensor>) =>
      new Map([...weights].filter(([name]) => !/^(post_)?quant_conv/.test(name)));
    const without = await withVae(none, { use_quant_conv: false, use_post_quant_conv: false }, both);
    assertClose(without.mean, wanted.mean, { absolute: 1e-6 }, 'mean');
    assertClose(without.decoded, wanted.decoded, { absolute: 1e-6 }, 'decoded');
  });
});
