import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from '../../../src/engine/lowered/command.js';
import { lower } from '../../../src/engine/lowered/lower.js';
import { openCheckpoint } from '../../../src/families/open-checkpoint.js';
import { familyOf } from '../../../src/families/registry.js';
import { Graph } from '../../../src/graph/graph.js';
import { Kernels } from '../../../src/graph/kernels/kernels.js';
import { SingleDevice } from '../../../src/parallel/layers/single-device.js';
import { tinySdxl } from '../../support/golden.js';
import { tinyPixArt } from '../../support/golden-dit.js';

/** Of a step. */
async function commandsOf(directory: string): Promise<readonly Command[]> {
  const checkpoint = await openCheckpoint(directory);
  const family = familyOf(checkpoint);
  const { model, textTokens } = await family.outline(checkpoint);
  const graph = new Graph('bfloat16');
  const layers = new SingleDevice(new Kernels(graph), await checkpoint.weights(family.component));
  model.build(layers, { batch: 2, rows: 16, columns: 16, textTokens });
  const [variant] = lower(graph.program().step, 'bfloat16', 0).variants;
  return variant?.later.commands ?? [];
}

test("a transformer's block is products, attentions and norms", async () => {
  const commands = await commandsOf(tinyPixArt);
  const block = commands.filter(({ name }) => name.startsWith('transformer_blocks.1.'));
  const counts = new Map<string, number>();
  for (const { op } of block) counts.set(op, (counts.get(op) ?? 0) + 1);
  // The sum is that of the timestep and the table of the block.
  assert.deepEqual(Object.fromEntries(counts), { Add: 1, LayerNorm: 2, Product: 8, Attention: 2 });
  const norms = block.filter(({ op }) => op === 'LayerNorm');
  assert.ok(norms.every(({ operands }) => operands.imageScale && operands.imageShift));
  assert.equal(block.filter(({ operands }) => operands.gate && operands.residual).length, 2);
});

test('of images that are joined only those with other readers are copied', async () => {
  const commands = await commandsOf(tinySdxl);
  const copies = commands.filter(({ op, name }) => op === 'Copy' && /^up_blocks\..*\/input$/.test(name));
  const names = copies.map(({ name }) => name);
  assert.ok(names.length > 0);
  assert.deepEqual(names, [...new Set(names)]);
});
