import { DistriError, expected } from '../base/errors.js';
import {
  camelCase,
  checkOption,
  gatherOptions,
  type OptionValue,
  ownedByOthers,
} from '../base/option-spec.js';
import { type DisplacedOptions, displacedPatch } from './strategies/displaced-patch.js';
import { type NaiveOptions, naivePatch } from './strategies/naive-patch.js';
import { type PipeFusionOptions, pipefusion } from './strategies/pipefusion.js';
import { type SequenceOptions, sequence } from './strategies/sequence.js';
import { tensor } from './strategies/tensor.js';
import type { LayerStrategy, SharedModel, StageStrategy } from './strategy.js';
import type { Topology } from './topology.js';

/** The ways to share a picture, by the names of `--parallelism`. */
export const strategies = {
  patch: displacedPatch,
  tensor,
  naive_patch: naivePatch,
  sequence,
  pipefusion,
} as const;

/** Of `--parallelism`; see docs/parallelism.md. @useDeclaredType */
export type StrategyName = keyof typeof strategies;

/** Where nobody says which. */
export const defaultStrategy = 'patch' satisfies StrategyName;

/** Shares any picture of any model among any number of ranks. */
export const fallbackStrategy = 'tensor' satisfies StrategyName;

export const strategyNames = Object.keys(strategies) as readonly StrategyName[];

/** What every strategy may be told; each looks at its own. */
export interface StrategyOptions extends DisplacedOptions, NaiveOptions, SequenceOptions, PipeFusionOptions {
  /**
   * Steps in which nothing is stale: one more than this with patch (by default 4), as in distrifuser, so many
   * with pipefusion (by default 1), as in xDiT.
   */
  readonly warmupSteps: number;
}

/** How the ranks share a picture; see docs/modes.md. */
export interface ParallelOptions extends StrategyOptions {
  /** Which of the strategies looks at its options. */
  readonly parallelism: StrategyName;
  /** Whether one half of the ranks predicts without the prompt, and the other with it. */
  readonly splitBatch: boolean;
}

export type Strategy = LayerStrategy<StrategyOptions> | StageStrategy<StrategyOptions>;

/** The strategy of this name. */
export function strategyOf({ parallelism }: Pick<ParallelOptions, 'parallelism'>): Strategy {
  return strategies[parallelism];
}

/** The options of all strategies, those of the same name as one. */
export const strategyOptions = gatherOptions(strategies);

/**
 * What a strategy is told where only some is given, in camel case: its own defaults for the rest, and
 * anything at all for what others look at. Values of the wrong kind are refused.
 */
export function completeOptions(name: StrategyName, given: Partial<StrategyOptions>): StrategyOptions {
  const values: Record<string, unknown> = {};
  // Its own come last and stay.
  for (const { options } of [...Object.values(strategies), strategies[name]]) {
    for (const spec of options) values[camelCase(spec.name)] = spec.default;
  }
  for (const { spec } of strategyOptions) {
    const value = given[camelCase(spec.name) as keyof StrategyOptions];
    checkOption(spec, value);
    if (value !== undefined) values[camelCase(spec.name)] = value;
  }
  return values as unknown as StrategyOptions;
}

/**
 * Refuses options that `name` does not look at, but for those that are tolerated. Nobody knows which strategy
 * `auto` will be, so it looks at none.
 */
export function refuseForeignOptions(name: StrategyName | 'auto', given: Partial<StrategyOptions>): void {
  for (const option of strategyOptions) {
    const value = given[camelCase(option.spec.name) as keyof StrategyOptions];
    if (value === undefined || option.spec.tolerated || option.owners.includes(name)) continue;
    throw ownedByOthers(option, '--parallelism', name);
  }
}

/** What the strategy of `options` was told, by the names of options, whatever else they hold. */
export function ownOptions(options: ParallelOptions): Readonly<Record<string, OptionValue>> {
  const { parallelism, splitBatch } = options;
  const own = strategyOf(options).options.flatMap(({ name }) => {
    const value = options[camelCase(name) as keyof StrategyOptions];
    return value === undefined ? [] : [[name, value]];
  });
  return { parallelism, split_batch: splitBatch, ...Object.fromEntries(own) };
}

/** How folders of pictures are called that are drawn so. */
export function folderName(options: ParallelOptions): string {
  const strategy = strategyOf(options);
  if (strategy.folderName) return strategy.folderName(options);
  const { parallelism, split_batch: _, ...own } = ownOptions(options);
  const parts = Object.entries(own).map(([name, value]) =>
    typeof value === 'string' ? value : `${name}${value}`,
  );
  return [parallelism, ...parts].join('-');
}

/** Strategies that can share a model. */
export function strategiesFor(model: Pick<SharedModel, 'blocks'>): readonly StrategyName[] {
  const { blocks } = model;
  return strategyNames.filter((name) => {
    const { needs, joint } = strategies[name];
    return (needs === 'nothing' || blocks) && (joint || !blocks?.joint);
  });
}

/** Refuses a strategy that needs what the model does not have. */
export function requireStrategy(name: StrategyName, model: Pick<SharedModel, 'blocks'>): void {
  if (!Object.hasOwn(strategies, name))
    throw expected(`one of ${strategyNames.join(', ')}`, '--parallelism', name);
  if (strategiesFor(model).includes(name)) return;
  const why = model.blocks
    ? 'hands on tokens of the picture alone, and the text of this model goes through its blocks as well'
    : 'divides a row of blocks on tokens, as transformers have, and this model has none';
  throw new DistriError(
    'unsupported',
    `--parallelism ${name} ${why}; ${strategiesFor(model).join(', ')} would work`,
  );
}

/** Whether the ranks draw the picture of one rank, but for rounding. */
export function isExact(options: ParallelOptions, topology: Pick<Topology, 'patches'>): boolean {
  const strategy = strategyOf(options);
  return (strategy.kind === 'layers' && topology.patches === 1) || strategy.isExact(options);
}

/** How many of `steps` are synchronous. */
export function synchronousSteps(
  options: ParallelOptions,
  { patches }: Pick<Topology, 'patches'>,
  steps: number,
): number {
  const strategy = strategyOf(options);
  const alone = strategy.kind === 'layers' && patches === 1;
  return Math.min((alone ? undefined : strategy.warmUp(options)) ?? steps, steps);
}

/** Such as "displaced patches, corrected_async_gn, 5 synchronous steps, then stale". */
export function describeMode(options: ParallelOptions, topology: Topology, steps: number): string {
  const strategy = strategyOf(options);
  if (strategy.kind === 'layers') {
    if (topology.worldSize === 1) return 'one rank';
    if (topology.patches === 1) return 'batch split, nothing stale';
  }
  return strategy.describeSteps(options, topology, steps);
}
