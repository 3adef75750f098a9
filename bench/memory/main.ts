/**
 * What N ranks hold in memory, with shared and with private weights, side by side: per rank the private memory (RssAnon), the
 * file-backed memory (RssFile) and the proportional share (Pss), after a step of an architecture with random weights.
 *
 *   node dist/bench/memory/main.js [--model sdxl-mid] [--size 256] [--ranks 4]
 */

import { parseArgs } from 'node:util';
import { sum } from '../../src/base/numbers.js';
import { type MemoryUse, memoryUse } from '../../src/machine/memory-use.js';
import { distriContestant } from '../unet-step/contestants.js';
import { type BenchModel, guidedShape, makeModel, namedConfig } from '../unet-step/model.js';

const megabyte = 1e6;

async function measure(
  model: BenchModel,
  ranks: number,
  weights: 'shared' | 'private',
): Promise<MemoryUse[]> {
  const contestant = await distriContestant(model, ranks, 1, weights);
  try {
    for (let step = 0; step < 2; step++) await contestant.step();
    return await Promise.all(contestant.pids.map(memoryUse));
  } finally {
    await contestant.close();
  }
}

function print(weights: string, uses: readonly MemoryUse[]): void {
  const columns = ['anonymous', 'file', 'shared', 'proportional'] as const;
  const row = (label: string, values: readonly number[]) =>
    console.log(
      label.padEnd(16) + values.map((value) => (value / megabyte).toFixed(1).padStart(14)).join(''),
    );
  console.log(
    `${`${weights}, MB`.padEnd(16)}${['RssAnon', 'RssFile', 'RssShmem', 'Pss'].map((c) => c.padStart(14)).join('')}`,
  );
  for (const [rank, use] of uses.entries()) {
    row(
      `rank ${rank}`,
      columns.map((column) => use[column]),
    );
  }
  row(
    'all ranks',
    columns.map((column) => sum(uses.map((use) => use[column]))),
  );
}

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'sdxl-mid' },
    size: { type: 'string', default: '256' },
    ranks: { type: 'string', default: '4' },
  },
});
const { model, weightBytes, remove } = await makeModel(
  await namedConfig(values.model),
  guidedShape(Number(values.size)),
);
try {
  console.log(
    `${values.model}, ${values.size} px, weights of ${(weightBytes / megabyte).toFixed(0)} MB in float32, ${values.ranks} ranks`,
  );
  for (const weights of ['shared', 'private'] as const) {
    print(weights, await measure(model, Number(values.ranks), weights));
  }
} finally {
  await remove();
}
