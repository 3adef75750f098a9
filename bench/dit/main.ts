import { openModel } from '../../src/app/model.js';
import { silent } from '../../src/app/observer.js';
import { expected } from '../../src/base/errors.js';
import { mean, sum } from '../../src/base/numbers.js';
import { openDevice } from '../../src/engine/device.js';
import { availableCpus } from '../../src/machine/cpus.js';
import { choiceText } from '../../src/planning/choices.js';
import type { PlannedChoice } from '../../src/planning/plan.js';
import { itemBytes } from '../../src/tensor/element-type.js';
import { integer, option, runBench, word } from '../bench.js';
import { type ChoicePicture, drawChoice, planChoices } from '../choices.js';
import { markdownLine, markdownTable } from '../markdown.js';
import { costOf, type Traffic } from './costs.js';

/** Steps at the beginning that are not measured: they may be synchronous. */
const WARM_UP = 2;

const given = { warmupSteps: WARM_UP - 1, splitScheme: 'row' } as const;

const titles = [
  '',
  'paper',
  'exact, in p hs',
  'by formula',
  'measured',
  'off',
  'waited / step',
  'parameters',
  'activations',
  'buffers',
];

const options = {
  random_weights: option(word('name'), 'architecture of a transformer', 'pixart-mid'),
  image_size: option(integer(), 'side of the picture in pixels', 256),
  ranks: option(integer(2), 'ranks, with a thread each', 4),
  steps: option(integer(WARM_UP + 2), 'steps, the first two and the last of which are not measured', 6),
};

await runBench(
  {
    name: 'dit',
    text:
      'What each way to share a transformer costs on N ranks of this machine: bytes that others read of a ' +
      'rank in a step, measured and by formula, how long a rank waited for them, and what the rank with ' +
      'most holds. Prints the table of docs/parallelism.md.',
    options,
  },
  async ({ random_weights: architecture, image_size: size, ranks, steps }, signal) => {
    const picture = { architecture, size, steps, dtype: 'fp32', given } as const;
    const traffic = await trafficOf(picture, ranks);
    const who = `${ranks} ranks with a thread each on ${availableCpus().count} CPUs, whole batch`;
    const sizes = `p hs = ${megabytes(traffic.hidden)} MB, L = ${traffic.layers}; MB`;
    console.log(`${architecture}, ${size} px, ${who}; ${sizes}\n`);
    console.log(markdownTable(titles, []));
    const setup = { ranks, threads: 1, weights: 'shared', splitBatch: false } as const;
    const { choices, refused } = await planChoices(picture, setup);
    for (const choice of choices) {
      console.log(markdownLine(row(choice, traffic, await measure(choice, picture, signal))));
    }
    for (const choice of refused) console.log(`\nRefused: ${choiceText(choice)}: ${choice.reason}`);
  },
);

/** Per rank and step, the mean over ranks and over the steps that are measured. */
interface Measured {
  readonly bytes: number;
  /** Milliseconds. */
  readonly waited: number;
  readonly step: number;
}

async function measure(
  choice: PlannedChoice,
  picture: ChoicePicture,
  signal: AbortSignal,
): Promise<Measured> {
  const reports = await drawChoice(choice, picture, signal);
  const late = reports.flatMap(({ exchanges }) => exchanges.slice(WARM_UP, -1));
  return {
    bytes: mean(late.map(({ bytesFetched }) => bytesFetched)),
    waited: mean(late.map(({ waited }) => waited)),
    step: mean(reports.flatMap(({ timings }) => timings.steps.slice(WARM_UP, -1))),
  };
}

async function trafficOf({ architecture, size }: ChoicePicture, ranks: number): Promise<Traffic> {
  const { family, outline } = await openModel(architecture, { randomWeights: true }, silent);
  const { blocks, inChannels } = outline.model;
  if (!blocks) throw expected('the architecture of a transformer', '--random_weights', architecture);
  const square = { height: size, width: size };
  const { rows, columns } = family.geometry(outline, square, { useResolutionBinning: false }).latent;
  const item = itemBytes[openDevice().elementType];
  // Guidance makes two images of a picture.
  const batch = 2;
  const latents = rows * columns;
  return {
    ranks,
    layers: blocks.layers,
    hidden: (item * batch * latents * blocks.features) / blocks.patchSize ** 2,
    output: item * batch * latents * blocks.outChannels,
    latents: item * latents * inChannels,
  };
}

function row(choice: PlannedChoice, traffic: Traffic, { bytes, waited, step }: Measured): string[] {
  const { parallelism, settings, ranks } = choice;
  const cost = costOf(parallelism, settings, ranks);
  const formula = cost?.bytes(traffic);
  const off = formula === undefined ? '-' : `${(100 * (bytes / formula - 1)).toFixed(1)} %`;
  return [
    choiceText(choice),
    cost?.paper ?? '-',
    cost?.exact ?? '-',
    formula === undefined ? '-' : megabytes(formula),
    megabytes(bytes),
    off,
    `${waited.toFixed(0)} of ${step.toFixed(0)} ms`,
    ...memoryCells(choice),
  ];
}

/**
 * Of the ranks that hold most of each: weights, activations, and what is kept from step to step or read by
 * peers.
 */
function memoryCells({ ranksPlan }: PlannedChoice): string[] {
  const memories = ranksPlan.map(({ memory }) => memory);
  const most = (parts: readonly (keyof (typeof memories)[number])[]) =>
    Math.max(...memories.map((memory) => sum(parts.map((part) => memory[part]))));
  const held = [['sharedWeights', 'privateWeights'], ['activations'], ['kept', 'exchange']] as const;
  return held.map((parts) => megabytes(most(parts)));
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}
