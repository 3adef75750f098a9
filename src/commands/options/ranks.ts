import type { Command } from 'commander';
import { defaultRanks } from '../../app/setup.js';
import { expected } from '../../base/errors.js';
import { type DtypeName, dtypeNames, type EngineName, engineNames } from '../../engine/device.js';
import type { WeightsMode } from '../../machine/memory.js';
import { atLeast, choice, value, withDefault } from './build.js';
import { number } from './parsers.js';

const weightsModes = ['auto', 'shared', 'private'] as const;

/** As many as the ranks' shared memory has room for. */
export const MAX_RANKS = 1024;

/** What computes, and in which type. */
export interface DeviceOptions {
  readonly dtype: DtypeName | 'auto';
  readonly engine: EngineName | 'auto';
}

export interface RanksOptions extends DeviceOptions {
  readonly nproc_per_node: number;
  readonly data_parallel?: number;
  readonly threads?: number;
  readonly weights: WeightsMode | 'auto';
  readonly comm_timeout: number;
}

export function addRanksOptions(command: Command): Command {
  const ranks = addThreadsOption(
    addRankCount(command).addOption(
      value(
        '--data_parallel <n>',
        'draw each prompt on its own, n at a time, each by its share of the ranks',
        atLeast(1, MAX_RANKS),
      ),
    ),
  )
    .addOption(weightsOption())
    .addOption(commTimeoutOption());
  return addDeviceOptions(ranks);
}

/** What ranks compute with. */
export function addDeviceOptions(command: Command): Command {
  return command
    .optionsGroup('Device:')
    .addOption(choice('--dtype <name>', 'of weights and activations', ['auto', ...dtypeNames], 'auto'))
    .addOption(
      choice('--engine <name>', 'what computes, see docs/engines.md', ['auto', ...engineNames], 'auto'),
    );
}

/** `-n`. */
export function addRankCount(command: Command, text = 'rank processes', initial = defaultRanks()): Command {
  return command
    .optionsGroup('Ranks:')
    .addOption(withDefault('-n, --nproc_per_node <n>', text, initial, atLeast(1, MAX_RANKS)));
}

export function addThreadsOption(command: Command): Command {
  return command.addOption(
    value(
      '--threads <n>',
      'threads of each rank (default: the CPUs divided among the ranks)',
      atLeast(1, MAX_RANKS),
    ),
  );
}

export function weightsOption() {
  return choice(
    '--weights <mode>',
    'for onnxruntime: one shared copy, a faster copy per rank, or as memory allows',
    weightsModes,
    'auto',
  );
}

export function commTimeoutOption() {
  return withDefault(
    '--comm_timeout <seconds>',
    'give up a rank that does not answer for so long',
    60,
    (name) => number(name, 1, 1e6),
  );
}

export function checkRanksOptions({ nproc_per_node, data_parallel = 1 }: RanksOptions): void {
  if (nproc_per_node % data_parallel === 0) return;
  throw expected(`a divisor of the number of ranks (${nproc_per_node})`, '--data_parallel', data_parallel);
}
