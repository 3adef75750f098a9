import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WeightPlan } from '../../../src/checkpoint/random-weights.js';
import { openDevice } from '../../../src/engine/device.js';
import type { Graph } from '../../../src/graph/graph.js';
import { pixArtModel, readPixArtTransformer2DConfig } from '../../../src/models/pixart-transformer-2d.js';
import { SlotTable } from '../../../src/parallel/slots.js';
import { HIDDEN_STATES, KeyValueSlots, PipeFusion } from '../../../src/parallel/strategies/pipefusion.js';
import { StagePlan } from '../../../src/parallel/strategies/stage-plan.js';
import { planTopology } from '../../../src/parallel/topology.js';
import { buildNoiseModel } from '../../../src/pipelines/denoise/step-denoiser.js';

const config = readPixArtTransformer2DConfig({
  caption_channels: 64,
  num_attention_heads: 8,
  attention_head_dim: 12,
  cross_attention_dim: 96,
  num_layers: 8,
});

/**
 * The graphs of a rank of three stages with 1, 2 and 5 layers: for the whole picture and for four patches.
 */
function graphsOf(rank: number): Graph[] {
  const topology = planTopology({ worldSize: 3, guided: true, splitBatch: false });
  const plan = StagePlan.make({
    topology,
    options: { attnLayerNumForPp: [1, 2, 5], numPipelinePatch: 4 },
    layers: 8,
    patchRows: 16,
  });
  const role = topology.roles[rank];
  assert.ok(role);
  const slots = new KeyValueSlots(new SlotTable(3), plan, topology, 1);
  const context = { plan, role, patchColumns: 16, slots };
  const layers = {
    variants: plan.parts.length,
    layers: (
      variant: number,
      ...parts: [ConstructorParameters<typeof PipeFusion>[0], ConstructorParameters<typeof PipeFusion>[1]]
    ) => new PipeFusion(...parts, context, plan.parts[variant] ?? plan.whole),
  };
  const shape = { batch: 2, rows: 32, columns: 32, textTokens: 120 };
  const model = pixArtModel(config);
  return buildNoiseModel(openDevice(), model, layers, new WeightPlan(), shape).map(({ graph }) => graph);
}

test('a rank reads the weights of its own layers only', () => {
  const layers: number[][] = [];
  for (const rank of [0, 1, 2]) {
    for (const graph of graphsOf(rank)) {
      const names = graph.weights.map(({ name }) => name);
      const blocks = names.flatMap((name) => name.match(/^transformer_blocks\.(\d+)\./)?.[1] ?? []);
      layers[rank] = [...new Set(blocks.map(Number))];
      assert.equal(names.includes('pos_embed.proj.weight'), rank === 0);
      assert.equal(names.includes('proj_out.weight'), rank === 2);
    }
  }
  assert.deepEqual(layers, [[0], [1, 2], [3, 4, 5, 6, 7]]);
});

test('stages take and give hidden states of the part, the first one latents, the last one a prediction of its rows', () => {
  const describe = (rank: number) =>
    graphsOf(rank).map((graph) => {
      const { inputs, outputs } = graph.program().step;
      const given = inputs.find(({ name }) => name === HIDDEN_STATES || name === 'sample');
      return [given?.name, given?.shape, outputs.map(({ shape }) => shape)];
    });
  const hidden = [2, 256, 96];
  const band = [2, 64, 96];
  const latents = [2, 4, 32, 32];
  assert.deepEqual(describe(0).slice(0, 2), [
    ['sample', latents, [hidden]],
    ['sample', latents, [band]],
  ]);
  assert.deepEqual(describe(1).slice(0, 2), [
    [HIDDEN_STATES, hidden, [hidden]],
    [HIDDEN_STATES, band, [band]],
  ]);
  assert.deepEqual(describe(2).slice(0, 2), [
    [HIDDEN_STATES, hidden, [[2, 8, 32, 32]]],
    [HIDDEN_STATES, band, [[2, 8, 8, 32]]],
  ]);
});
