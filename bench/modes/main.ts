import { DistriPipeline } from '../../src/app/distri-pipeline.js';
import { openModel } from '../../src/app/model.js';
import { silent } from '../../src/app/observer.js';
import type { SetupOptions } from '../../src/app/options.js';
import { mean } from '../../src/base/numbers.js';
import { embeddedModel } from '../../src/base/package.js';
import { summarize } from '../../src/base/statistics.js';
import type { DrawReport } from '../../src/jobs/draw.js';
import { availableCpus } from '../../src/machine/cpus.js';
import { psnr } from '../../src/metrics/psnr.js';
import { integer, option, runBench } from '../bench.js';
import { markdownLine, markdownTable } from '../markdown.js';
import { choiceModes } from '../modes.js';

const prompts = [
  'a yellow star on a night sky',
  'a large blue circle to the left of a small red heart on a meadow',
  'a green triangle at the top on a cream background',
  'a purple ring next to an orange cross on a gray background',
];

/** The first rank decodes: modes are about denoising, and bands of the VAE round otherwise. */
const common = { weights: 'private', splitBatch: false, vae: 'rank0', dtype: 'fp32' } as const;

const options = {
  ranks: option(integer(2), 'ranks that share every picture, with a thread each', 2),
  steps: option(integer(2), 'steps of a picture', 50),
};

await runBench(
  {
    name: 'modes',
    text:
      'What each mode costs, and how far its pictures are from those of one rank, with the embedded model: ' +
      'bytes that a rank sends in a late step, its time as a ratio to that of one rank with as many ' +
      'threads as there are ranks, and PSNR. Prints the table of docs/modes.md.',
    options,
  },
  async ({ ranks, steps }, signal) => {
    const threads = Math.min(ranks, availableCpus().count);
    const one = await DistriPipeline.fromPretrained(embeddedModel, { ...common, ranks: 1, threads, signal });
    try {
      const alone = await draw(one, steps);
      const drawnOf = `${prompts.length} prompts, ${steps} ddim steps`;
      console.log(`embedded model, 256 px, ${drawnOf}, ${ranks} ranks without batch split\n`);
      console.log(markdownTable(['mode', 'sent per step', 'time / 1 rank', 'PSNR to 1 rank'], []));
      const { model } = (await openModel(embeddedModel, {}, silent)).outline;
      for (const { name, parallelism, options: told } of choiceModes(model)) {
        const before = await draw(one, steps);
        const drawn = await drawWith({ ...told, parallelism, ranks, threads: 1 }, steps, signal);
        const sent = `${(drawn.bytes / 1000).toFixed(1)} kB`;
        const ratio = (drawn.step / before.step).toFixed(2);
        console.log(markdownLine([name, sent, ratio, likeness(drawn.pictures, alone.pictures)]));
      }
    } finally {
      await one.dispose();
    }
  },
);

interface Drawn {
  readonly pictures: readonly Uint8Array[];
  /** Milliseconds of a late step, the median over all pictures. */
  readonly step: number;
  /** Bytes that the rank with most sends in a late step. */
  readonly bytes: number;
}

async function drawWith(setup: SetupOptions, steps: number, signal: AbortSignal): Promise<Drawn> {
  const pipeline = await DistriPipeline.fromPretrained(embeddedModel, { ...common, ...setup, signal });
  try {
    return await draw(pipeline, steps);
  } finally {
    await pipeline.dispose();
  }
}

async function draw(pipeline: DistriPipeline, steps: number): Promise<Drawn> {
  const pictures: Uint8Array[] = [];
  const times: number[] = [];
  let bytes = 0;
  for (const prompt of prompts) {
    const { images, reports } = await pipeline({ prompt, numInferenceSteps: steps, scheduler: 'ddim' });
    const [first] = reports as readonly [DrawReport];
    pictures.push(...images.map(({ data }) => data));
    times.push(...first.timings.steps.slice(steps >> 1));
    bytes = Math.max(...reports.map(({ exchanges }) => exchanges.at(-1)?.bytesPublished ?? 0));
  }
  return { pictures, step: summarize(times).median, bytes };
}

/** PSNR in dB, the mean over the pictures; equal pictures have none and are left out. */
function likeness(pictures: readonly Uint8Array[], references: readonly Uint8Array[]): string {
  const values = pictures.map((picture, index) => psnr(picture, references[index] as Uint8Array));
  const differing = values.filter(Number.isFinite);
  return differing.length === 0 ? 'equal' : `${mean(differing).toFixed(1)} dB`;
}
