import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { summarize } from '../../src/base/statistics.js';
import { table } from '../../src/commands/output/table.js';
import { argument, integer, integers, oneOf, option, runBench, sizedModels } from '../bench.js';
import { type Checkout, openCheckout } from './checkout.js';
import { type Contest, EMBEDDED, firstPicture, firstStep, help, step } from './contests.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

const titles = [
  '',
  'here best',
  'median',
  'there best',
  'median',
  'ratio of bests',
  'median ratio of rounds',
];

const options = {
  checkout: argument('folder of the other checkout, built'),
  what: option(oneOf(['all', 'start', 'steps']), 'commands from start to end, steps, or both', 'all'),
  models: option(sizedModels, `"${EMBEDDED}" or architectures of run-sdxl, and the side of their pictures`, [
    { name: EMBEDDED, size: 256 },
    { name: 'sdxl-mid', size: 512 },
  ]),
  ranks: option(integers(), 'numbers of ranks', [1, 2]),
  rounds: option(integer(), 'times that each checkout does everything', 5),
  steps: option(integer(), 'steps of a model in a round that are measured', 4),
};

await runBench(
  {
    name: 'against',
    text:
      'This checkout against another, by their command lines, in turns: `distri --help`, the way to the ' +
      'first step of the embedded model, a first picture of 64 px in one step, and a denoising step (displaced patches, stale). Prints the best and the ' +
      'median of each in milliseconds, and ratios of this one to the other.',
    options,
  },
  async ({ checkout: path, what, models, ranks, rounds, steps }, signal) => {
    const folder = await mkdtemp(join(tmpdir(), 'distri-against-'));
    try {
      const here = await openCheckout('this checkout', root, join(folder, 'here'));
      const there = await openCheckout('the other checkout', path, join(folder, 'there'));
      const ofSteps = models.flatMap((model) => ranks.map((count) => step(model, count, steps)));
      const contests = [
        ...(what === 'steps' ? [] : [help, ...ranks.map(firstStep), ...ranks.map(firstPicture)]),
        ...(what === 'start' ? [] : ofSteps),
      ];
      const rows: string[][] = [];
      for (const contest of contests) {
        console.error(contest.name);
        rows.push(row(contest.name, await takeTurns(contest, here, there, rounds, signal)));
      }
      console.log(`here ${root}, there ${path}, ${rounds} rounds, ms`);
      for (const line of table(titles, rows, [0])) console.log(line);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);

/** Of one round, in seconds. */
interface Round {
  readonly here: readonly number[];
  readonly there: readonly number[];
}

/** Whoever comes second finds the machine as the first left it, so they take turns in that as well. */
async function takeTurns(
  contest: Contest,
  here: Checkout,
  there: Checkout,
  rounds: number,
  signal: AbortSignal,
): Promise<readonly Round[]> {
  // Files are written and read for the first time.
  for (const checkout of [here, there]) await contest.run(checkout, signal);
  const measured: Round[] = [];
  for (let round = 0; round < rounds; round++) {
    const hereFirst = round % 2 === 0;
    const first = await contest.run(hereFirst ? here : there, signal);
    const second = await contest.run(hereFirst ? there : here, signal);
    measured.push(hereFirst ? { here: first, there: second } : { here: second, there: first });
  }
  return measured;
}

function row(name: string, rounds: readonly Round[]): string[] {
  const here = summarize(rounds.flatMap((round) => round.here));
  const there = summarize(rounds.flatMap((round) => round.there));
  const ratios = rounds.map((round) => summarize(round.here).median / summarize(round.there).median);
  const times = [here.min, here.median, there.min, there.median];
  return [
    name,
    ...times.map((seconds) => (1000 * seconds).toFixed(1)),
    (here.min / there.min).toFixed(3),
    summarize(ratios).median.toFixed(3),
  ];
}
