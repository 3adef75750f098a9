import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchmarkRecord } from '../../src/app/records/benchmark-record.js';
import { phases } from '../../src/ranks/progress.js';
import type { SizedModel } from '../bench.js';
import { type Checkout, runDistri, runDistriUntil } from './checkout.js';

/** Something that every checkout does alike. */
export interface Contest {
  readonly name: string;
  /** Does it once; seconds of one or more samples. */
  run(checkout: Checkout, signal: AbortSignal): Promise<readonly number[]>;
}

/** Stands for the checkpoint that comes with a checkout, instead of an architecture with random weights. */
export const EMBEDDED = 'embedded';

/** From the start of `distri --help` to its end. */
export const help: Contest = {
  name: 'distri --help',
  run: async (checkout, signal) => [await runDistri(checkout, ['--help'], signal)],
};

/** From the start of `distri run-sdxl` to its end: a picture in one step, as small as it gets. */
export function firstPicture(ranks: number): Contest {
  const sizes = ['--image_size', '64', '--num_inference_steps', '1'];
  return {
    name: `first picture, ${rankText(ranks)}`,
    run: async (checkout, signal) => {
      const output = ['--output_path', join(checkout.folder, 'picture.png')];
      return [await runDistri(checkout, ['run-sdxl', '-n', String(ranks), ...sizes, ...output], signal)];
    },
  };
}

/** From the start of `distri run-sdxl` to the begin of its first denoising step. */
export function firstStep(ranks: number): Contest {
  return {
    name: `first step, ${rankText(ranks)}`,
    run: async (checkout, signal) => {
      const output = ['--output_path', join(checkout.folder, 'picture.png')];
      const argv = ['run-sdxl', '-n', String(ranks), '--num_inference_steps', '20', ...output];
      return [await runDistriUntil(checkout, argv, signal, phases.denoise.label)];
    },
  };
}

/** Steps of a call in benchmark mode after the first, in displaced patches of the whole batch. */
export function step({ name, size }: SizedModel, ranks: number, steps: number): Contest {
  const model = name === EMBEDDED ? [] : ['--random_weights', name];
  const strategy = ['--parallelism', 'patch', '--no_split_batch', '--warmup_steps', '0'];
  const picture = ['--image_size', String(size), '--num_inference_steps', String(1 + steps)];
  const calls = [
    '--mode',
    'benchmark',
    '--warmup_times',
    '0',
    '--test_times',
    '1',
    '--output_type',
    'latent',
  ];
  return {
    name: `step of ${name}, ${size} px, ${rankText(ranks)}`,
    run: async (checkout, signal) => {
      const json = join(checkout.folder, 'benchmark.json');
      const options = [...model, ...strategy, ...picture, ...calls, '--json', json];
      await runDistri(checkout, ['run-sdxl', '-n', String(ranks), ...options], signal);
      return stepsOf(JSON.parse(await readFile(json, 'utf8')) as BenchmarkRecord);
    },
  };
}

/** Seconds of each step but the first, on the rank that took longest. */
function stepsOf({ runs }: Pick<BenchmarkRecord, 'runs'>): readonly number[] {
  return runs.flatMap(({ ranks }) => {
    const [first = [], ...others] = ranks.map(({ stepSeconds }) => stepSeconds);
    const slowest = (own: number, index: number) =>
      Math.max(own, ...others.map((times) => times[index] as number));
    return first.map(slowest).slice(1);
  });
}

function rankText(ranks: number): string {
  return ranks === 1 ? '1 rank' : `${ranks} ranks`;
}
