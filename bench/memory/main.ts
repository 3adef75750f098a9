import { sum } from '../../src/base/numbers.js';
import { table } from '../../src/commands/output/table.js';
import type { WeightsMode } from '../../src/machine/memory.js';
import { type MemoryUse, memoryUse } from '../../src/machine/memory-use.js';
import { integer, option, runBench, word } from '../bench.js';
import { distriContestant } from '../unet-step/contestants.js';
import { type BenchModel, guidedShape, makeModel, namedConfig } from '../unet-step/model.js';

const MEGABYTE = 1e6;

/** What is shown, and how the kernel calls it. */
const columns = { anonymous: 'RssAnon', file: 'RssFile', shared: 'RssShmem', proportional: 'Pss' } as const;

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
      'with private weights side by side: by rank the private memory (RssAnon), that of files (RssFile), ' +
      'shared memory (RssShmem) and the proportional share of everything (Pss), in MB.',
    options,
  },
  async ({ random_weights: name, image_size: size, ranks }, signal) => {
    const { model, weightBytes, remove } = await makeModel(await namedConfig(name), guidedShape(size));
    try {
      const weights = `weights of ${(weightBytes / MEGABYTE).toFixed(0)} MB in float32`;
      console.log(`${name}, ${size} px, ${weights}, ${ranks} ranks`);
      for (const mode of ['shared', 'private'] as const) {
        print(mode, await measure(model, ranks, mode, signal));
      }
    } finally {
      await remove();
    }
  },
);

async function measure(
  model: BenchModel,
  ranks: number,
  weights: WeightsMode,
  signal: AbortSignal,
): Promise<readonly MemoryUse[]> {
  const contestant = await distriContestant(model, ranks, 1, weights, { signal });
  try {
    for (let step = 0; step < 2; step++) await contestant.step();
    return await Promise.all(contestant.pids.map(memoryUse));
  } finally {
    await contestant.close();
  }
}

function print(weights: WeightsMode, uses: readonly MemoryUse[]): void {
  const kinds = Object.keys(columns) as (keyof typeof columns)[];
  const row = (label: string, own: readonly MemoryUse[]) => [
    label,
    ...kinds.map((kind) => (sum(own.map((use) => use[kind])) / MEGABYTE).toFixed(1)),
  ];
  const rows = uses.map((use, rank) => row(`rank ${rank}`, [use]));
  const titles = [`${weights}, MB`, ...Object.values(columns)];
  for (const line of table(titles, [...rows, row('all ranks', uses)], [0])) console.log(line);
}
