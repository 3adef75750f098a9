/**
 * Predicted and measured seconds of a step after the warm-up, side by side in one run: the machine is measured, then every way that is
 * possible is predicted and run. Prints the fastest and the median of the steps.
 *
 *   node dist/bench/plan/main.js [--models tiny-shapes:256,sdxl-mid:512] [--ranks 1,2] [--steps 12]
 */
import { parseArgs } from 'node:util';
import { choiceText } from '../../src/commands/output/plan.js';
import { table } from '../../src/commands/output/table.js';
import { availableCpus, shareCpus } from '../../src/machine/cpus.js';
import { unetModel } from '../../src/models/noise-model.js';
import { readUNet2DConditionConfig } from '../../src/models/unet-2d-condition.js';
import { parallelismNames } from '../../src/pipelines/request.js';
import { makePlan, type PlannedChoice, type PlanRequest } from '../../src/planning/plan.js';
import { type MachineProfile, measureProfile, type ProfileSetting } from '../../src/planning/profile.js';
import { recommend } from '../../src/planning/recommend.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import { type BenchModel, guidedShape, makeModel, namedConfig } from '../unet-step/model.js';
import type { StepsJob } from './rank.js';

const never = new AbortController().signal;
const schemes = { syncMode: 'corrected_async_gn', warmupSteps: 1, splitScheme: 'row' } as const;

/** Steps before those that are measured: the first ones load weights into caches. */
const WARM_UP = 3;

const titles = [
  '',
  'threads',
  'predicted ms',
  'best ms',
  'median ms',
  'predicted / best',
  'predicted / median',
];

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: 'tiny-shapes:256,sdxl-mid:512' },
    ranks: { type: 'string', default: '1,2' },
    steps: { type: 'string', default: '12' },
  },
});
const profiles = new Map<string, Promise<MachineProfile>>();
for (const model of values.models.split(',')) {
  const [name, size] = model.split(':') as [string, string];
  await compare(name, Number(size), values.ranks.split(',').map(Number), Number(values.steps));
}

async function compare(name: string, size: number, rankCounts: readonly number[], steps: number) {
  const { model, remove } = await makeModel(await namedConfig(name), guidedShape(size));
  try {
    const { choices } = await makePlan(planRequest(model, rankCounts), measureOnce);
    const rows = [];
    for (const choice of choices) rows.push(row(choice, await measureSteps(model, choice, steps)));
    console.log(
      `${name}, ${size} px, guidance; recommended: ${choiceText(recommend(choices, schemes.syncMode)?.choice)}`,
    );
    for (const line of table(titles, rows, [0])) console.log(`  ${line}`);
  } finally {
    await remove();
  }
}

function planRequest({ config, shape }: BenchModel, rankCounts: readonly number[]): PlanRequest {
  const { rows, columns, textTokens } = shape;
  return {
    image: { model: unetModel(readUNet2DConditionConfig(config)), rows, columns, textTokens, images: 1 },
    rankCounts,
    options: { ...schemes, guided: true, allowSplit: true, parallelisms: parallelismNames },
    steps: 50,
    threads: (ranks) => Math.max(1, Math.floor(availableCpus().count / ranks)),
    weights: 'auto',
  };
}

/** Both models are predicted from the same profiles. */
function measureOnce(setting: ProfileSetting): Promise<MachineProfile> {
  const key = JSON.stringify(setting);
  const profile = profiles.get(key) ?? measureProfile(setting, never);
  profiles.set(key, profile);
  return profile;
}

async function measureSteps(model: BenchModel, choice: PlannedChoice, steps: number): Promise<number[]> {
  const { ranks, parallelism, splitBatch, threads, weights } = choice;
  const group = await RankGroup.launch<StepsJob, readonly number[]>({
    worldSize: ranks,
    entry: new URL('rank.js', import.meta.url),
    cpus: shareCpus(availableCpus(), ranks, threads),
    timeout: 600_000,
    interruption: never,
    log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
  });
  const parallel = { ...schemes, parallelism, splitBatch };
  const times = await group.run({ model, parallel, threads, weights, steps: WARM_UP + steps }, () => {});
  await group.close();
  const slowest = (step: number) => Math.max(...times.map((own) => own[step] as number));
  return Array.from({ length: steps }, (_, step) => slowest(WARM_UP + step));
}

function row(choice: PlannedChoice, times: readonly number[]): string[] {
  const predicted = choice.prediction?.step ?? Number.NaN;
  const sorted = times.toSorted((a, b) => a - b);
  const [best, median] = [sorted[0] as number, sorted[sorted.length >> 1] as number];
  const milliseconds = [predicted, best, median].map((seconds) => (1000 * seconds).toFixed(1));
  const ratios = [predicted / best, predicted / median].map((ratio) => ratio.toFixed(2));
  return [choiceText(choice), String(choice.threads), ...milliseconds, ...ratios];
}
