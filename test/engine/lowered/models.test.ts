import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Executable } from '../../../src/engine/executable.js';
import { ProgramExecutable } from '../../../src/engine/lowered/program-executable.js';
import { SessionExecutable } from '../../../src/engine/onnxruntime/session-executable.js';
import { openCheckpoint } from '../../../src/families/open-checkpoint.js';
import { familyOf } from '../../../src/families/registry.js';
import { Graph, type GraphPart } from '../../../src/graph/graph.js';
import { Kernels } from '../../../src/graph/kernels/kernels.js';
import { SingleDevice } from '../../../src/parallel/layers/single-device.js';
import { TorchGenerator } from '../../../src/tensor/random-torch.js';
import type { Tensor } from '../../../src/tensor/tensor.js';
import { difference, tinySd15, tinySdxl } from '../../support/golden.js';
import { tinyPixArt } from '../../support/golden-dit.js';

const options = { threads: 2, weights: 'private', rank: 0, communicator: undefined } as const;

async function buildModel(directory: string): Promise<Graph> {
  const checkpoint = await openCheckpoint(directory);
  const family = familyOf(checkpoint);
  const { model, textTokens } = await family.outline(checkpoint);
  const graph = new Graph();
  const layers = new SingleDevice(new Kernels(graph), await checkpoint.weights(family.component));
  model.build(layers, { batch: 2, rows: 20, columns: 12, textTokens });
  return graph;
}

function randomInputs(graph: Graph): Record<string, Tensor> {
  const generator = new TorchGenerator(5n);
  const { image, step } = graph.program();
  const values = [...(image?.inputs ?? []), ...step.inputs];
  return Object.fromEntries(values.map(({ name, shape }) => [name, generator.randn(shape)]));
}

async function results(
  graph: Graph,
  load: (part: GraphPart) => Promise<Executable>,
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Readonly<Record<string, Tensor>>> {
  const { image, step } = graph.program();
  let given = inputs;
  for (const part of [image, step]) {
    if (!part) continue;
    const executable = await load(part);
    given = { ...given, ...(await executable.run(given)) };
    executable.release();
  }
  return given;
}

for (const [name, directory] of Object.entries({ SDXL: tinySdxl, 'SD 1.5': tinySd15, PixArt: tinyPixArt })) {
  for (const [type, limit] of [
    ['float32', 2e-5],
    ['bfloat16', 0.05],
  ] as const) {
    test(`commands of ${type} compute what sessions do: ${name}`, async () => {
      const graph = await buildModel(directory);
      const inputs = randomInputs(graph);
      const [output] = graph.results;
      const wanted = await results(graph, (part) => SessionExecutable.load(part, options), inputs);
      const actual = await results(graph, (part) => ProgramExecutable.load(part, type, options), inputs);
      const { worst, magnitude } = difference(
        actual[output?.name ?? ''] as Tensor,
        wanted[output?.name ?? ''] as Tensor,
      );
      assert.ok(worst < limit * magnitude, `relative difference ${worst / magnitude}`);
    });
  }
}
