import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgramExecutable } from '../../../src/engine/lowered/program-executable.js';
import { SessionExecutable } from '../../../src/engine/onnxruntime/session-executable.js';
import { Graph, type GraphPart } from '../../../src/graph/graph.js';
import { Kernels } from '../../../src/graph/kernels/kernels.js';
import { TorchGenerator } from '../../../src/tensor/random-torch.js';
import type { Tensor } from '../../../src/tensor/tensor.js';
import { difference } from '../../support/golden.js';

const options = { threads: 2, weights: 'private', rank: 0, communicator: undefined } as const;
const x = new TorchGenerator(1n).randn([2, 40, 5, 7]);

/** A convolution of an image that has every row and column of x twice. */
function doubledThenConvolved(doubledIsRead: boolean): GraphPart {
  const graph = new Graph();
  const kernels = new Kernels(graph);
  const generator = new TorchGenerator(2n);
  const weight = graph.constant('weight', generator.randn([33, 40, 3, 3]));
  const bias = graph.constant('bias', generator.randn([33]));
  const doubled = kernels.double('doubled', graph.input('x', 'float32', x.shape, 'step'));
  const convolved = kernels.conv2d('convolved', doubled, weight, bias, { stride: 1, padding: [1, 1, 1, 1] });
  graph.output(convolved);
  if (doubledIsRead) graph.output(doubled);
  return graph.program().step;
}

async function run(load: () => Promise<ProgramExecutable | SessionExecutable>): Promise<Tensor> {
  const executable = await load();
  const { convolved } = await executable.run({ x });
  executable.release();
  return convolved as Tensor;
}

for (const type of ['float32', 'bfloat16'] as const) {
  test(`a doubled image that is there and one that is not are convolved to the same bits: ${type}`, async () => {
    const there = await run(() => ProgramExecutable.load(doubledThenConvolved(true), type, options));
    const absent = await run(() => ProgramExecutable.load(doubledThenConvolved(false), type, options));
    assert.deepEqual(absent.data, there.data);
    const wanted = await run(() => SessionExecutable.load(doubledThenConvolved(false), options));
    const { worst, magnitude } = difference(absent, wanted);
    const limit = type === 'float32' ? 2e-6 : 0.02;
    assert.ok(worst < limit * magnitude, `relative difference ${worst / magnitude}`);
  });
}
