import assert from 'node:assert/strict';
import { it } from 'node:test';
import { memoryUse } from '../../bench/memory/memory-use.js';
import { distriContestant } from '../../bench/unet-step/contestants.js';
import { makeModel, namedConfig } from '../../bench/unet-step/model.js';

/** Private memory of 4 ranks after a step, and the size of the weights they share, for transformers of this depth. */
async function privateMemory(depth: number): Promise<{ anonymous: number; weightBytes: number }> {
  const config = {
    ...(await namedConfig('sdxl-mid')),
    block_out_channels: [64, 128, 256],
    cross_attention_dim: 512,
    transformer_layers_per_block: [1, 2, depth],
  };
  const { model, weightBytes, remove } = await makeModel(config, {
    batch: 2,
    rows: 16,
    columns: 16,
    textTokens: 4,
  });
  try {
    const ranks = await distriContestant(model, 4, 1, 'shared');
    await ranks.step();
    const uses = await Promise.all(ranks.pids.map(memoryUse));
    await ranks.close();
    return { anonymous: uses.reduce((sum, use) => sum + use.anonymous, 0), weightBytes };
  } finally {
    await remove();
  }
}

it('four ranks with shared weights hold one copy of them', async () => {
  // A deeper model has more weights, but its layers need the same room for activations.
  const shallow = await privateMemory(1);
  const deep = await privateMemory(12);
  const added = deep.anonymous - shallow.anonymous;
  const bound = 0.1 * (deep.weightBytes - shallow.weightBytes);
  assert.ok(deep.weightBytes > 4 * shallow.weightBytes);
  assert.ok(
    added <= bound,
    `${added} bytes more private memory for ${deep.weightBytes - shallow.weightBytes} of weights`,
  );
});
