import { DistriPipeline } from '../../src/app/distri-pipeline.js';
import { embeddedModel } from '../../src/base/package.js';
import { summarize } from '../../src/base/statistics.js';
import { table } from '../../src/commands/output/table.js';
import { type DeviceChoice, deviceChoices, deviceText } from '../../src/engine/device.js';
import { availableCpus } from '../../src/machine/cpus.js';
import { integer, option, runBench } from '../bench.js';

const options = {
  image_size: option(integer(), 'side of the picture in pixels', 256),
  steps: option(integer(), 'steps of a picture', 20),
  ranks: option(integer(), 'ranks', 1),
  threads: option(integer(), 'threads of each rank', Math.min(2, availableCpus().count)),
  rounds: option(integer(), 'times that each engine and type starts and draws', 5),
};

/** Seconds from the opening of a pipeline on, and of a picture with all models loaded. */
interface Times {
  readonly firstStep: number;
  readonly firstPicture: number;
  readonly nextPicture: number;
}

const titles: Readonly<Record<keyof Times, string>> = {
  firstStep: 'start to first step',
  firstPicture: 'start to picture',
  nextPicture: 'next picture',
};

await runBench(
  {
    name: 'picture',
    text:
      'Pictures of the embedded model by every engine and element type, in turns: seconds from the start of ' +
      'new ranks to the end of the first step and to the picture, and of another picture of the same ranks. ' +
      'Prints the best and the median of each.',
    options,
  },
  async (given, signal) => {
    const times = deviceChoices.map((): Times[] => []);
    for (let round = 0; round < given.rounds; round++) {
      for (const [index, device] of deviceChoices.entries()) {
        times[index]?.push(await draw(device, given, signal));
      }
    }
    const { image_size: size, steps, ranks, threads, rounds } = given;
    console.log(
      `embedded model, ${size} px, ${steps} steps, ${ranks} x ${threads} threads, ${rounds} rounds`,
    );
    const names = Object.keys(titles) as (keyof Times)[];
    const rows = deviceChoices.map((device, index) => [
      deviceText(device),
      ...names.flatMap((name) => {
        const { min, median } = summarize((times[index] as readonly Times[]).map((each) => each[name]));
        return [min.toFixed(3), median.toFixed(3)];
      }),
    ]);
    const heads = names.flatMap((name) => [`${titles[name]}: best s`, 'median s']);
    for (const line of table(['', ...heads], rows, [0])) console.log(line);
  },
);

async function draw(
  { dtype, engine }: DeviceChoice,
  given: {
    readonly image_size: number;
    readonly steps: number;
    readonly ranks: number;
    readonly threads: number;
  },
  signal: AbortSignal,
): Promise<Times> {
  const { image_size: size, steps: numInferenceSteps, ranks, threads } = given;
  const started = performance.now();
  const since = (begin: number) => (performance.now() - begin) / 1000;
  const pipeline = await DistriPipeline.fromPretrained(embeddedModel, {
    ...{ ranks, threads, dtype, engine, weights: 'private' },
    signal,
  });
  try {
    const call = { height: size, width: size, numInferenceSteps, seed: 1 };
    let firstStep = Number.NaN;
    await pipeline({
      ...call,
      onStep: ({ step }) => {
        if (step === 0) firstStep = since(started);
      },
    });
    const firstPicture = since(started);
    const again = performance.now();
    await pipeline(call);
    return { firstStep, firstPicture, nextPicture: since(again) };
  } finally {
    await pipeline.dispose();
  }
}
