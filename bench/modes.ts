import { camelCase, type OptionSpec } from '../src/base/option-spec.js';
import {
  completeOptions,
  isExact,
  type StrategyName,
  type StrategyOptions,
  strategies,
  strategiesFor,
} from '../src/parallel/registry.js';
import type { SharedModel } from '../src/parallel/strategy.js';

/** A strategy and what it is told, read from its descriptor. */
export interface Mode {
  /** Such as "patch sync_gn". */
  readonly name: string;
  readonly parallelism: StrategyName;
  readonly options: Partial<StrategyOptions>;
}

/** Every strategy that can share a model, as it is by default. */
export function strategyModes(model: Pick<SharedModel, 'blocks'>): readonly Mode[] {
  return strategiesFor(model).map((parallelism) => ({ name: parallelism, parallelism, options: {} }));
}

/** The same, each with every value of its choices. */
export function choiceModes(model: Pick<SharedModel, 'blocks'>): readonly Mode[] {
  return strategyModes(model).flatMap((mode) => {
    const chosen = strategies[mode.parallelism].options.flatMap((spec) => chooseEach(mode, spec));
    return chosen.length > 0 ? chosen : [mode];
  });
}

/** A choice without a default is about something that not every model has. */
function chooseEach(
  { name, parallelism }: Mode,
  { name: option, takes, default: usual }: OptionSpec,
): Mode[] {
  if (takes.type !== 'choice' || usual === undefined) return [];
  return takes.values.map((value) => ({
    name: `${name} ${value}`,
    parallelism,
    options: { [camelCase(option)]: value },
  }));
}

/** Whether some steps come before those that it is about, and how many is asked of users. */
export function hasWarmUp({ parallelism, options }: Mode): boolean {
  return strategies[parallelism].warmUp(completeOptions(parallelism, options)) !== undefined;
}

/** Whether several ranks draw the picture of one, but for rounding. */
export function isExactMode({ parallelism, options }: Mode): boolean {
  const complete = completeOptions(parallelism, options);
  return isExact({ ...complete, parallelism, splitBatch: false }, { patches: 2 });
}
