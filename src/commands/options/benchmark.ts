import type { Command } from 'commander';
import { DistriError, expected } from '../../base/errors.js';
import type { Family } from '../../families/family.js';
import { atLeast, choice, value, withDefault } from './build.js';
import type { ModelOptions, RandomWeightsOptions } from './model.js';
import { number, text } from './parsers.js';

const modes = ['generation', 'benchmark'] as const;

/** Options of the benchmark mode of distrifuser's scripts, and what is measured without a checkpoint. */
export interface BenchmarkOptions extends RandomWeightsOptions {
  readonly mode: (typeof modes)[number];
  readonly warmup_times: number;
  readonly test_times: number;
  readonly ignore_ratio: number;
}

/** Of no use without `--mode benchmark`. */
export const benchmarkOptionNames = ['warmup_times', 'test_times', 'ignore_ratio'] as const;

export function addBenchmarkOptions(command: Command, { synthetic }: Family): Command {
  return command
    .optionsGroup('Benchmark:')
    .addOption(choice('--mode <name>', 'draw, or measure how long drawing takes', modes, 'generation'))
    .addOption(withDefault('--warmup_times <n>', 'runs before those that are measured', 5, atLeast(0)))
    .addOption(withDefault('--test_times <n>', 'runs that are measured', 20, atLeast(1)))
    .addOption(
      withDefault(
        '--ignore_ratio <share>',
        'of the measured times that are dropped, half from each end',
        0.2,
        (name) => number(name, 0, 1),
      ),
    )
    .addOption(
      value(
        '--random_weights <name>',
        `measure the denoising of an architecture without a checkpoint, e.g. ${synthetic.example}`,
        text,
      ),
    );
}

export function checkBenchmarkOptions(options: BenchmarkOptions & ModelOptions): void {
  const { mode, ignore_ratio, random_weights } = options;
  if (random_weights !== undefined) checkRandomWeights(options);
  if (mode === 'benchmark' && ignore_ratio === 1) {
    throw expected('a number less than 1', '--ignore_ratio', ignore_ratio);
  }
}

function checkRandomWeights(options: BenchmarkOptions & ModelOptions): void {
  if (options.mode !== 'benchmark') {
    throw new DistriError('usage', '--random_weights needs --mode benchmark');
  }
  refuseCheckpoint(options);
}

/** Random weights are in the place of a checkpoint. */
export function refuseCheckpoint(options: ModelOptions): void {
  for (const name of ['pretrained_model_name_or_path', 'variant', 'revision'] as const) {
    if (options[name] === undefined) continue;
    throw new DistriError('usage', `--random_weights has no checkpoint; leave out --${name}`);
  }
}
