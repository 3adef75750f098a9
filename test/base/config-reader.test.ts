import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type JsonObject, readJsonObject } from '../../src/base/json.js';
import { readAutoencoderKLConfig } from '../../src/models/autoencoder-kl.js';
import { readCLIPTextConfig } from '../../src/models/clip-text.js';
import { readUNet2DConditionConfig } from '../../src/models/unet-2d-condition.js';
import { tinySdxl } from '../support/golden.js';

const readers = {
  unet: readUNet2DConditionConfig,
  vae: readAutoencoderKLConfig,
  text_encoder: (config: JsonObject) => readCLIPTextConfig('text_encoder', config),
} as const;

const manyBlocks = Array.from({ length: 10_000 }, () => 'CrossAttnDownBlock2D');

const refused: readonly [component: keyof typeof readers, changes: JsonObject, message: RegExp][] = [
  ['unet', { block_out_channels: [1e9, 64, 64] }, /expected a whole number from 1 to 1048576 or a list of 3/],
  ['unet', { down_block_types: manyBlocks }, /expected a list of at most 16 strings for down_block_types/],
  ['unet', { layers_per_block: 1e6 }, /expected a whole number from 1 to 256 .* for layers_per_block/],
  ['unet', { transformer_layers_per_block: [1, 1, 1e6] }, /for transformer_layers_per_block/],
  ['unet', { norm_num_groups: 33 }, /block_out_channels = \d+ is not a multiple of norm_num_groups = 33$/],
  ['unet', { attention_head_dim: [2, 2, 7] }, /is not a multiple of attention_head_dim = 7$/],
  ['unet', { norm_eps: -1e-5 }, /expected a number from 0 for norm_eps but found -0\.00001$/],
  ['unet', { norm_eps: Infinity }, /expected a number from 0 for norm_eps but found Infinity$/],
  ['vae', { block_out_channels: Array(17).fill(32) }, /expected a list of at most 16 whole numbers/],
  ['vae', { layers_per_block: 1e6 }, /for layers_per_block/],
  ['vae', { norm_num_groups: 5 }, /is not a multiple of norm_num_groups = 5$/],
  ['vae', { scaling_factor: 0 }, /expected a number other than 0 for scaling_factor/],
  ['vae', { scaling_factor: Number.NaN }, /expected a number for scaling_factor but found NaN/],
  ['vae', { latents_mean: [1, 2] }, /expected a list of 4 numbers for latents_mean/],
  ['text_encoder', { layer_norm_eps: -1 }, /expected a number from 0 for layer_norm_eps but found -1$/],
  ['text_encoder', { num_hidden_layers: 1e6 }, /for num_hidden_layers/],
  ['text_encoder', { vocab_size: 1e9 }, /for vocab_size/],
  [
    'text_encoder',
    { num_attention_heads: 7 },
    /hidden_size = \d+ is not a multiple of num_attention_heads = 7$/,
  ],
];

test('sizes that no model has are refused by name before anything is made of them', async () => {
  for (const [component, changes, message] of refused) {
    const config = await readJsonObject(join(tinySdxl, component, 'config.json'));
    readers[component](config);
    assert.throws(() => readers[component]({ ...config, ...changes }), { code: 'checkpoint', message });
  }
});
