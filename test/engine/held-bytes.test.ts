import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { embeddedModel } from '../../src/base/package.js';
import { chooseDevice, openDevice } from '../../src/engine/device.js';
import { heldBytes } from '../../src/engine/held-bytes.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { familyOf } from '../../src/families/registry.js';
import { Graph } from '../../src/graph/graph.js';
import { memoryUse } from '../../src/machine/memory-use.js';
import { SingleDevice } from '../../src/parallel/layers/single-device.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes of this process alone. */
async function anonymous(): Promise<number> {
  collect();
  return (await memoryUse(process.pid)).anonymous;
}

/** Room that commands work in, which is not planned: kPackedBytes of native/device/cpu/attention.cc. */
const WORK = 16 * 2 ** 20;
/** Of what is planned: large pages that are not full, packed weights' last lanes, threads' stacks. */
const TOLERANCE = 0.05;

for (const dtype of ['fp32', 'bf16'] as const) {
  test(`a program holds what its list of commands says: ${dtype}`, async () => {
    const device = openDevice(chooseDevice({ engine: 'lowered', dtype }));
    const checkpoint = await openCheckpoint(embeddedModel);
    const family = familyOf(checkpoint);
    const { model, textTokens } = await family.outline(checkpoint);
    const weights = await checkpoint.weights(family.component, { types: device.weightTypes });
    const graph = new Graph(device.elementType);
    const layers = new SingleDevice(device.kernels(graph), weights);
    model.build(layers, { batch: 2, rows: 128, columns: 128, textTokens });
    const planned = heldBytes(device, [graph], 'private', 0);
    const { step } = graph.program();
    const before = await anonymous();
    const options = { threads: 1, weights: 'private', rank: 0, communicator: undefined } as const;
    const executable = await device.load(step, options);
    await executable.run(executable.zeroInputs());
    const held = (await anonymous()) - before;
    const own = planned.privateWeights + planned.activations + planned.kept;
    executable.release();
    assert.ok(held > (1 - TOLERANCE) * own, `${held} bytes, planned were ${own}`);
    assert.ok(held < (1 + TOLERANCE) * own + WORK, `${held} bytes, planned were ${own}`);
  });
}
