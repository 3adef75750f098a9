import assert from 'node:assert/strict';
import { it } from 'node:test';
import { distriContestant } from '../../bench/unet-step/contestants.js';
import { guidedShape, makeModel, namedConfig } from '../../bench/unet-step/model.js';
import { memoryUse } from '../../src/machine/memory-use.js';

/**
 * Private memory of 4 ranks after a step of sdxl-mid with these channels, and the size of the weights they
 * share.
 */
async function privateMemory(
  channels: readonly number[],
): Promise<{ anonymous: number; weightBytes: number }> {
  const config = { ...(await namedConfig('sdxl-mid')), block_out_channels: channels };
  const { model, weightBytes, remove } = await makeModel(config, { ...guidedShape(128), textTokens: 4 });
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

it('ranks with shared weights hold one copy of them', async () => {
  // The same graph with few channels: as many nodes, next to no weights. At this size, and with a short text,
  // activations are small in both.
  const narrow = await privateMemory([32, 32, 32]);
  const wide = await privateMemory([128, 256, 512]);
  const added = wide.anonymous - narrow.anonymous;
  const weights = wide.weightBytes - narrow.weightBytes;
  assert.ok(weights > 5e8);
  assert.ok(added <= 0.1 * weights, `${added} bytes more private memory for ${weights} bytes of weights`);
});
