import { planRun } from '../../src/app/plan-run.js';
import { summarize } from '../../src/base/statistics.js';
import { table } from '../../src/commands/output/table.js';
import { dtypeNames } from '../../src/engine/device.js';
import type { DrawReport } from '../../src/jobs/draw.js';
import { choiceText } from '../../src/planning/choices.js';
import type { PlannedChoice } from '../../src/planning/plan.js';
import { integer, notes, oneOf, option, runBench, sizedModels } from '../bench.js';
import { type ChoicePicture, drawChoice } from '../choices.js';

/** Steps before those that are measured: the first ones load weights into caches. */
const WARM_UP = 3;
/** One synchronous step or two, so that those that are measured are as all later ones. */
const given = { warmupSteps: 1, splitScheme: 'row' } as const;

const titles = [
  '',
  'threads',
  'predicted ms',
  'best ms',
  'median ms',
  'predicted / best',
  'predicted / median',
];

const options = {
  models: option(sizedModels, 'architectures, and the side of their pictures', [
    { name: 'tiny-shapes', size: 256 },
    { name: 'sdxl-mid', size: 512 },
  ]),
  ranks: option(integer(), '1, the powers of two up to so many, and so many ranks', 2),
  steps: option(integer(), 'steps that are measured', 12),
  dtype: option(oneOf(dtypeNames), 'of weights and activations', 'fp32'),
};

await runBench(
  {
    name: 'plan',
    text:
      'Predicted and measured milliseconds of a step after the warm-up, side by side: the machine is ' +
      'measured, then every way to share a picture that `distri plan` compares is predicted and run.',
    options,
  },
  async ({ models, ranks, steps, dtype }, signal) => {
    for (const [index, { name, size }] of models.entries()) {
      // All models are predicted from the same figures of the machine.
      const picture = { architecture: name, size, steps: WARM_UP + steps, dtype, given };
      await compare(picture, ranks, index === 0, signal);
    }
  },
);

async function compare(
  picture: ChoicePicture,
  ranks: number,
  remeasure: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { architecture, size, dtype } = picture;
  const { choices, recommended } = await planRun(architecture, {
    ...{ randomWeights: true, height: size, width: size, ranks, dtype },
    ...{ strategyOptions: given, remeasure, observer: notes, signal },
  });
  const rows: string[][] = [];
  for (const choice of choices) rows.push(row(choice, await measureSteps(choice, picture, signal)));
  const best = recommended && choices[recommended.index];
  console.log(`${architecture}, ${size} px, ${dtype}, guidance; recommended: ${choiceText(best)}`);
  for (const line of table(titles, rows, [0])) console.log(`  ${line}`);
}

/** Seconds of each step after the warm-up on the rank that took longest. */
async function measureSteps(
  choice: PlannedChoice,
  picture: ChoicePicture,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const reports = await drawChoice(choice, picture, signal);
  const [first] = reports as readonly [DrawReport];
  const slowest = (step: number) => Math.max(...reports.map(({ timings }) => timings.steps[step] as number));
  return first.timings.steps.map((_, step) => slowest(step) / 1000).slice(WARM_UP);
}

function row(choice: PlannedChoice, times: readonly number[]): string[] {
  const predicted = choice.prediction?.step ?? Number.NaN;
  const { min, median } = summarize(times);
  const milliseconds = [predicted, min, median].map((seconds) => (1000 * seconds).toFixed(1));
  const ratios = [predicted / min, predicted / median].map((ratio) => ratio.toFixed(2));
  return [choiceText(choice), String(choice.threads), ...milliseconds, ...ratios];
}
