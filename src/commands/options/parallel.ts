import type { Command } from 'commander';
import type { Family } from '../../families/family.js';
import {
  defaultStrategy,
  type StrategyName,
  type StrategyOptions,
  strategies,
  strategyNames,
  strategyOptions,
} from '../../parallel/registry.js';
import { choice, flag, optionOf, value } from './build.js';
import { oneOf } from './parsers.js';
import { givenValues } from './specs.js';

export interface ParallelOptions {
  readonly parallelism: StrategyName | 'auto';
  readonly no_split_batch?: true;
  readonly use_cfg_parallel?: true;
}

/** Strategies that a family's models can be shared by, as far as their kind says. */
function strategiesOf({ component }: Pick<Family, 'component'>): readonly StrategyName[] {
  return component === 'unet'
    ? strategyNames.filter((name) => strategies[name].needs === 'nothing')
    : strategyNames;
}

/** The strategies, and of each the options; names are distrifuser's and xDiT's, where they have them. */
export function addParallelOptions(command: Command, family: Family): Command {
  return addDrawnParallelOptions(command, strategiesOf(family));
}

/** The same for models of any family. */
export function addAnyParallelOptions(command: Command): Command {
  return addDrawnParallelOptions(command, strategyNames);
}

function addDrawnParallelOptions(command: Command, names: readonly StrategyName[]): Command {
  command
    .optionsGroup('Parallelism:')
    .addOption(
      choice(
        '--parallelism <name>',
        'how ranks share a picture, see docs/parallelism.md (auto: as distri plan recommends)',
        [...names, 'auto'],
        defaultStrategy,
      ),
    );
  addStrategyOptions(command, names);
  return command
    .addOption(flag('--no_split_batch', 'every rank computes both images of the guidance'))
    .addOption(
      flag(
        '--use_cfg_parallel',
        'insist that two halves of the ranks share the batch of the guidance (which an even number does by default)',
      ),
    );
}

/** For commands that compare all strategies. */
export function addComparedParallelOptions(command: Command): Command {
  command
    .optionsGroup('Parallelism:')
    .addOption(
      value('--parallelism <name>', `only this one: ${strategyNames.join(', ')}`, (option) =>
        oneOf(option, strategyNames),
      ),
    );
  addStrategyOptions(command, strategyNames);
  return command.addOption(
    flag('--no_split_batch', 'only ways in which every rank computes both images of the guidance'),
  );
}

function addStrategyOptions(command: Command, names: readonly StrategyName[]): void {
  for (const { spec, owners } of strategyOptions) {
    if (owners.some((owner) => names.includes(owner as StrategyName))) command.addOption(optionOf(spec));
  }
}

/** What was said of strategies. */
export function givenStrategyOptions(options: object): Partial<StrategyOptions> {
  const specs = strategyOptions.map(({ spec }) => spec);
  return givenValues(specs, options as Readonly<Record<string, unknown>>);
}
