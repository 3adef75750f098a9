import { sum } from '../../src/base/numbers.js';
import { table } from '../../src/commands/output/table.js';
import {
  type DeviceChoice,
  deviceChoices,
  deviceText,
  openDevice,
  referenceDevice,
} from '../../src/engine/device.js';
import type { WeightsMode } from '../../src/machine/memory.js';
import { type MemoryUse, memoryUse } from '../../src/machine/memory-use.js';
import { planTopology } from '../../src/parallel/topology.js';
import { RankProgram } from '../../src/planning/rank-program.js';
import { integer, option, runBench, word } from '../bench.js';
import { distriContestant } from '../unet-step/contestants.js';
import {
  type BenchModel,
  benchParallel,
  guidedShape,
  makeModel,
  namedConfig,
  openModel,
} from '../unet-step/model.js';

const MEGABYTE = 1e6;

/** What is shown, and how the kernel calls it. */
const columns = { anonymous: 'RssAnon', file: 'RssFile', shared: 'RssShmem', proportional: 'Pss' } as const;

/** How ranks hold weights, and in what they compute. */
interface Way {
  readonly weights: WeightsMode;
  readonly device: DeviceChoice;
}

const ways: readonly Way[] = [
  ...(['shared', 'private'] as const).map((weights) => ({ weights, device: referenceDevice })),
  ...deviceChoices
    .filter((device) => device !== referenceDevice)
    .map((device) => ({ weights: 'private', device }) as const),
];

const options = {
  random_weights: option(word('name'), 'architecture', 'sdxl-mid'),
  image_size: option(integer(), 'side of the picture in pixels', 256),
  ranks: option(integer(), 'ranks, which share the picture as displaced patches', 4),
};

await runBench(
  {
    name: 'memory',
    text:
      'What N ranks hold in memory after two steps of an architecture with random weights, with shared and ' +
      'with private weights and with every engine and element type side by side: by rank the private memory ' +
      '(RssAnon), that of files (RssFile), shared memory (RssShmem) and the proportional share of everything ' +
      '(Pss), and what is planned of the private memory, without Node.js and the engine themselves, in MB.',
    options,
  },
  async ({ random_weights: name, image_size: size, ranks }, signal) => {
    const { model, weightBytes, remove } = await makeModel(await namedConfig(name), guidedShape(size));
    try {
      const weights = `weights of ${(weightBytes / MEGABYTE).toFixed(0)} MB in float32`;
      console.log(`${name}, ${size} px, ${weights}, ${ranks} ranks`);
      for (const way of ways) {
        print(way, await measure(model, ranks, way, signal), await plan(model, ranks, way));
      }
    } finally {
      await remove();
    }
  },
);

/** Bytes that are planned for each rank's own. */
async function plan(model: BenchModel, ranks: number, way: Way): Promise<readonly number[]> {
  const { batch, rows, columns, textTokens } = model.shape;
  const { model: noiseModel } = await openModel(model);
  const topology = planTopology({ worldSize: ranks, guided: true, splitBatch: false });
  const device = openDevice(way.device);
  const image = { device, model: noiseModel, rows, columns, textTokens, images: batch / 2 };
  return topology.roles.map((role) => {
    const held = RankProgram.build(image, topology, role, benchParallel).held(way.weights);
    return held.privateWeights + held.activations + held.kept;
  });
}

async function measure(
  model: BenchModel,
  ranks: number,
  { weights, device }: Way,
  signal: AbortSignal,
): Promise<readonly MemoryUse[]> {
  const contestant = await distriContestant(model, ranks, 1, weights, { device, signal });
  try {
    for (let step = 0; step < 2; step++) await contestant.step();
    return await Promise.all(contestant.pids.map(memoryUse));
  } finally {
    await contestant.close();
  }
}

function print({ weights, device }: Way, uses: readonly MemoryUse[], planned: readonly number[]): void {
  const kinds = Object.keys(columns) as (keyof typeof columns)[];
  const row = (label: string, own: readonly MemoryUse[], bytes: readonly number[]) => [
    label,
    ...[...kinds.map((kind) => sum(own.map((use) => use[kind]))), sum(bytes)].map((total) =>
      (total / MEGABYTE).toFixed(1),
    ),
  ];
  const rows = uses.map((use, rank) => row(`rank ${rank}`, [use], planned.slice(rank, rank + 1)));
  const titles = [`${deviceText(device)}, ${weights}, MB`, ...Object.values(columns), 'planned'];
  for (const line of table(titles, [...rows, row('all ranks', uses, planned)], [0])) console.log(line);
}
