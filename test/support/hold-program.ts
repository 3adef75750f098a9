/**
 * A process of its own, as memory that was freed before would be used again: loads and runs a step of the
 * embedded model's UNet by commands of the dtype that it is given, and prints what is held and planned.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { embeddedModel } from '../../src/base/package.js';
import { chooseDevice, type DtypeName, openDevice } from '../../src/engine/device.js';
import { type HeldBytes, heldBytes } from '../../src/engine/held-bytes.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { familyOf } from '../../src/families/registry.js';
import { Graph } from '../../src/graph/graph.js';
import { memoryUse } from '../../src/machine/memory-use.js';
import { SingleDevice } from '../../src/parallel/layers/single-device.js';

/** Bytes. */
export interface HeldProgram {
  readonly held: number;
  readonly planned: HeldBytes;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes of this process alone. */
async function anonymous(): Promise<number> {
  collect();
  return (await memoryUse(process.pid)).anonymous;
}

async function hold(dtype: DtypeName): Promise<HeldProgram> {
  const device = openDevice(chooseDevice({ engine: 'lowered', dtype }, 'narrow'));
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
  return { held: (await anonymous()) - before, planned };
}

console.log(JSON.stringify(await hold(process.argv[2] as DtypeName)));
