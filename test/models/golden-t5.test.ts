import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readT5EncoderConfig, relativeBucket, T5EncoderModel, t5Names } from '../../src/models/t5-encoder.js';
import { float32 } from '../../src/tensor/tensor.js';
import { assertClose } from '../support/golden.js';
import { openDit, tinyPixArt } from '../support/golden-dit.js';
import { runComponent } from '../support/run-graph.js';

/** Names in our graph of what the trace has. */
function valueName(traced: string): string {
  const module = traced.replace('out:', '');
  if (module === '' || module === 'hidden_states_003') return t5Names.lastHiddenState;
  if (module === 'hidden_states_000' || module.endsWith('embed_tokens')) return 'shared';
  return module
    .replace(/^hidden_states_00(\d)$/, (_, layer) => `encoder.block.${Number(layer) - 1}`)
    .replace(/^encoder\.block\.0\.layer\.1$/, 'encoder.block.0')
    .replace(/SelfAttention$/, 'SelfAttention.o')
    .replace(/DenseReluDense$/, 'DenseReluDense.wo');
}

describe('T5EncoderModel', () => {
  it('computes layer by layer what transformers computes, padding included', async () => {
    const file = await openDit('trace_text_pixart');
    const traced = [...file.tensors.keys()].filter((name) => /^(out:|hidden)/.test(name));
    const mask = await file.read('in:attention_mask');
    const results = await runComponent(
      tinyPixArt,
      'text_encoder',
      async (checkpoint, layers) => {
        const config = readT5EncoderConfig('text_encoder', await checkpoint.config('text_encoder'));
        new T5EncoderModel(config, layers).build({ batch: 2, tokens: 72 });
      },
      [...new Set(traced.map(valueName))].filter((name) => name !== t5Names.lastHiddenState),
      {
        input_ids: await file.read('in:input_ids'),
        attention_mask: float32(mask.shape, Float32Array.from(mask.data as BigInt64Array, Number)),
      },
    );
    for (const name of traced) {
      assertClose(results[valueName(name)], await file.read(name), { relative: 2e-5 }, name);
    }
  });

  it('sorts distances into buckets as transformers does', async () => {
    const file = await openDit('trace_text_pixart');
    const wanted = Array.from((await file.read('aux:relative_buckets')).data as BigInt64Array, Number);
    const config = { buckets: 32, maxDistance: 128 };
    assert.deepEqual(
      wanted.map((_, index) => relativeBucket(index - 511, config)),
      wanted,
    );
  });

  it('refuses the first version of T5', () => {
    assert.throws(
      () => readT5EncoderConfig('text_encoder', { feed_forward_proj: 'relu' }),
      /text_encoder\/config.json: feed_forward_proj = "relu" is not implemented; "gated-gelu" would work/,
    );
  });
});
