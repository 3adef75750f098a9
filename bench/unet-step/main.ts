/**
 * One denoising step of an architecture with random weights, side by side in one run:
 * the model in standard operators in onnxruntime-node, distri on 1 rank x N threads, distri on N ranks x 1 thread
 * (displaced patch, stale steps, no batch split). Prints the fastest of the rounds and ratios.
 *
 *   node dist/bench/unet-step/main.js [--model sdxl-mid] [--size 512] [--rounds 6] [--weights private]
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type Contestant, distriContestant, standardContestant } from './contestants.js';
import { guidedShape, makeModel, namedConfig } from './model.js';

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

function report(contestants: readonly Contestant[], times: readonly (readonly number[])[]): void {
  console.log('                                                    best ms  median ms');
  for (const [index, { name }] of contestants.entries()) {
    const own = times[index] as readonly number[];
    console.log(
      `${name.padEnd(50)} ${Math.min(...own)
        .toFixed(1)
        .padStart(8)}  ${median(own).toFixed(1).padStart(9)}`,
    );
  }
  const ratio = (a: number, b: number) => {
    const pairs = (times[a] as number[]).map((time, round) => time / (times[b]?.[round] as number));
    const best = Math.min(...(times[a] as number[])) / Math.min(...(times[b] as number[]));
    return `${best.toFixed(3)} (best), ${median(pairs).toFixed(3)} (median of rounds)`;
  };
  console.log(`distri 1 rank / standard operators: ${ratio(1, 0)}`);
  console.log(`distri N ranks / 1 rank:            ${ratio(2, 1)}`);
}

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'sdxl-mid' },
    size: { type: 'string', default: '512' },
    rounds: { type: 'string', default: '6' },
    ranks: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    weights: { type: 'string', default: 'private' },
  },
});
const weights = values.weights === 'shared' ? 'shared' : 'private';
const ranks = Number(values.ranks);
const { model, remove } = await makeModel(await namedConfig(values.model), guidedShape(Number(values.size)));
const contestants: Contestant[] = [];
try {
  contestants.push(await standardContestant(model, ranks));
  contestants.push(await distriContestant(model, 1, ranks, weights));
  contestants.push(await distriContestant(model, ranks, 1, weights));
  const times: number[][] = contestants.map(() => []);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [index, contestant] of contestants.entries()) times[index]?.push(await contestant.step());
  }
  console.log(
    `${values.model}, ${values.size} px, batch of two, weights ${weights}, ${values.rounds} rounds`,
  );
  report(contestants, times);
} finally {
  for (const contestant of contestants) await contestant.close();
  await remove();
}
