/**
 * What each mode costs and how far its pictures are from those of one rank, with the embedded model: bytes that a rank sends in a late step,
 * its time as a ratio to one rank with as many threads as there are ranks, and PSNR, in one run. Prints the table of docs/modes.md.
 *
 *   node dist/bench/modes/main.js [--ranks 2] [--steps 50]
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mean } from '../../src/base/numbers.js';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import type { GenerationJob, JobReport } from '../../src/jobs/draw.js';
import { type GenerationRequest, type ParallelOptions, syncModes } from '../../src/pipelines/request.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';

const model = fileURLToPath(new URL('../../../models/tiny-shapes', import.meta.url));

const prompts = [
  'a yellow star on a night sky',
  'a large blue circle to the left of a small red heart on a meadow',
  'a green triangle at the top on a cream background',
  'a purple ring next to an orange cross on a gray background',
];

interface Mode {
  readonly name: string;
  readonly parallel: ParallelOptions;
}

const whole: ParallelOptions = {
  parallelism: 'patch',
  splitScheme: 'alternate',
  splitBatch: false,
  syncMode: 'corrected_async_gn',
  warmupSteps: 4,
};

const modes: readonly Mode[] = [
  ...syncModes.map((syncMode) => ({ name: `patch, ${syncMode}`, parallel: { ...whole, syncMode } })),
  ...(['row', 'col', 'alternate'] as const).map((splitScheme) => ({
    name: `naive_patch, ${splitScheme}`,
    parallel: { ...whole, parallelism: 'naive_patch' as const, splitScheme },
  })),
  { name: 'tensor', parallel: { ...whole, parallelism: 'tensor' } },
];

interface Drawn {
  readonly pictures: readonly Uint8Array[];
  /** Milliseconds of a late step, the median over all pictures. */
  readonly step: number;
  /** Bytes that the rank with most sends in a late step. */
  readonly bytes: number;
}

class Ranks {
  private constructor(
    private readonly group: RankGroup<GenerationJob, JobReport>,
    private readonly threads: number,
    private readonly folder: string,
  ) {}

  static async launch(worldSize: number, threads: number, folder: string): Promise<Ranks> {
    const group = await RankGroup.launch<GenerationJob, JobReport>({
      worldSize,
      entry: new URL('../../src/jobs/rank.js', import.meta.url),
      cpus:
        worldSize === 1
          ? undefined
          : Array.from({ length: worldSize }, (_, rank) => [rank % availableParallelism()]),
      timeout: 60_000,
      interruption: new AbortController().signal,
      log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
    });
    return new Ranks(group, threads, folder);
  }

  async draw(parallel: ParallelOptions, steps: number): Promise<Drawn> {
    const pictures: Uint8Array[] = [];
    const times: number[] = [];
    let bytes = 0;
    for (const prompt of prompts) {
      const trace = join(this.folder, 'trace.safetensors');
      const load = {
        directory: model,
        variant: undefined,
        weights: 'private',
        threads: this.threads,
      } as const;
      const files = { images: [], latents: undefined, trace };
      const reports = await this.group.run(
        { load, request: request(prompt, steps), parallel, files },
        () => {},
      );
      const picture = await (await SafetensorsFile.open(trace)).read('image_uint8');
      pictures.push(picture.data as Uint8Array);
      times.push(...(reports[0]?.timings.steps.slice(steps >> 1) ?? []));
      bytes = Math.max(...reports.map(({ exchanges }) => exchanges.at(-1)?.bytesPublished ?? 0));
    }
    return { pictures, step: median(times), bytes };
  }

  close(): Promise<void> {
    return this.group.close();
  }
}

function request(prompt: string, steps: number): GenerationRequest {
  return {
    prompt: [prompt],
    negativePrompt: [],
    height: 256,
    width: 256,
    numInferenceSteps: steps,
    guidanceScale: 5,
    eta: 0,
    numImagesPerPrompt: 1,
    scheduler: 'ddim',
    seed: 1234n,
    rng: 'cpu',
    outputType: 'pil',
    trace: true,
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number;
}

/** Mean over the pictures, in dB; equal pictures have none and are left out. */
function psnr(a: readonly Uint8Array[], b: readonly Uint8Array[]): string {
  const errors = a.map((picture, index) => {
    const other = b[index] as Uint8Array;
    return picture.reduce((sum, value, i) => sum + (value - (other[i] as number)) ** 2, 0) / picture.length;
  });
  const differing = errors.filter((error) => error > 0);
  if (differing.length === 0) return 'equal';
  return `${mean(differing.map((error) => 10 * Math.log10(255 ** 2 / error))).toFixed(1)} dB`;
}

const { values } = parseArgs({
  options: { ranks: { type: 'string', default: '2' }, steps: { type: 'string', default: '50' } },
});
const [ranks, steps] = [Number(values.ranks), Number(values.steps)];
const folder = await mkdtemp(join(tmpdir(), 'distri-modes-'));
const one = await Ranks.launch(1, Math.min(ranks, availableParallelism()), folder);
const many = await Ranks.launch(ranks, 1, folder);
try {
  const alone = await one.draw(whole, steps);
  console.log(
    `embedded model, 256 px, ${steps} ddim steps, ${ranks} ranks without batch split, ${prompts.length} prompts`,
  );
  console.log('| mode | sent per step | time / 1 rank | PSNR to 1 rank |\n|---|---|---|---|');
  for (const { name, parallel } of modes) {
    const before = await one.draw(whole, steps);
    const drawn = await many.draw(parallel, steps);
    const ratio = (drawn.step / before.step).toFixed(2);
    const sent = `${(drawn.bytes / 1000).toFixed(1)} kB`;
    console.log(`| ${name} | ${sent} | ${ratio} | ${psnr(drawn.pictures, alone.pictures)} |`);
  }
} finally {
  await Promise.all([one.close(), many.close()]);
  await rm(folder, { recursive: true });
}
