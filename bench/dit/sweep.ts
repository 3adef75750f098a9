import { measureCalls } from '../../src/app/benchmark.js';
import { silent } from '../../src/app/observer.js';
import { Pipeline } from '../../src/app/pipeline.js';
import { DistriError, toError } from '../../src/base/errors.js';
import { writeAtomically } from '../../src/base/file-io.js';
import { type BenchmarkFigures, benchmarkFigures } from '../../src/jobs/report/benchmark.js';
import { availableCpus } from '../../src/machine/cpus.js';
import { synchronousSteps } from '../../src/parallel/registry.js';
import { choiceText } from '../../src/planning/choices.js';
import type { PlannedChoice } from '../../src/planning/plan.js';
import { integer, integers, option, optional, runBench, word } from '../bench.js';
import { type ChoicePicture, callOf, planChoices, setupOf } from '../choices.js';
import { markdownLine, markdownTable } from '../markdown.js';
import { cells, columns, csvTable, sweepRow } from './sweep-table.js';

/** Of the calls, by default of `distri run-… --mode benchmark`. */
const IGNORED_RATIO = 0.2;

const options = {
  random_weights: option(word('name'), 'architecture', 'pixart-mid'),
  image_size: option(integer(), 'side of the picture in pixels', 256),
  ranks: option(integers(), 'numbers of ranks', [1, 2, 4]),
  steps: option(integer(), 'steps of a call', 6),
  test_times: option(integer(), 'calls that are measured, after one that is not', 3),
  csv: optional(word('file'), 'writes the table there as well, for spreadsheets'),
};

await runBench(
  {
    name: 'sweep',
    text:
      'Everything that N ranks can do with a model, one way after another: latency of a call from random ' +
      'embeddings to latents, time of a step, memory and bytes. Prints one table, and below it what is ' +
      'refused and why.',
    options,
  },
  async (given, signal) => {
    const { random_weights: architecture, image_size: size, ranks, steps, test_times: calls, csv } = given;
    const picture = { architecture, size, steps, dtype: 'fp32', given: {} } as const;
    const cpus = `on ${availableCpus().count} CPUs`;
    console.log(`${architecture}, ${size} px, ${steps} steps, calls measured: ${calls}, ${cpus}\n`);
    const head = columns.map(({ title }) => title);
    console.log(markdownTable(head, []));
    const { rows, refused } = await sweep(picture, ranks, calls, signal);
    if (refused.length > 0) console.log(`\nRefused or failed:\n${refused.join('\n')}`);
    if (csv !== undefined) {
      await writeAtomically(csv, (handle) => handle.writeFile(csvTable(head, rows)));
    }
    if (rows.length === 0) throw new DistriError('unsupported', 'nothing could be measured');
  },
);

interface Swept {
  readonly rows: readonly (readonly string[])[];
  /** Lines with reasons. */
  readonly refused: readonly string[];
}

async function sweep(
  picture: ChoicePicture,
  rankCounts: readonly number[],
  calls: number,
  signal: AbortSignal,
): Promise<Swept> {
  const rows: string[][] = [];
  const refused: string[] = [];
  for (const ranks of rankCounts) {
    const plan = await planChoices(picture, { ranks });
    refused.push(...plan.refused.map((choice) => `- ${choiceText(choice)}: ${choice.reason}`));
    for (const choice of plan.choices) {
      const way = choiceText(choice);
      try {
        const row = cells(sweepRow(way, await measure(choice, picture, calls, signal)));
        rows.push(row);
        console.log(markdownLine(row));
      } catch (error) {
        signal.throwIfAborted();
        refused.push(`- ${way}: ${toError(error).message}`);
      }
    }
  }
  return { rows, refused };
}

async function measure(
  choice: PlannedChoice,
  picture: ChoicePicture,
  calls: number,
  signal: AbortSignal,
): Promise<BenchmarkFigures> {
  const context = { observer: silent, signal };
  const pipeline = await Pipeline.open(picture.architecture, setupOf(choice, picture), context);
  try {
    const plan = await pipeline.plan(callOf(picture));
    const times = { warmupTimes: 1, testTimes: calls, timeline: false };
    const measurements = await measureCalls(pipeline, plan, times, silent);
    const synchronous = synchronousSteps(plan.parallel, plan.topology, plan.steps);
    return benchmarkFigures(measurements, synchronous, IGNORED_RATIO);
  } finally {
    await pipeline.close();
  }
}
