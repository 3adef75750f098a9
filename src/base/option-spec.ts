import { DistriError, expected } from './errors.js';

/** What values an option takes. */
export type OptionType =
  | { readonly type: 'flag' }
  | { readonly type: 'integer'; readonly least: number }
  /** One or more. */
  | { readonly type: 'integers'; readonly least: number }
  | { readonly type: 'number'; readonly least: number; readonly most: number }
  | { readonly type: 'choice'; readonly values: readonly string[] }
  /** One or more, of any characters. */
  | { readonly type: 'texts' };

/** What an option of a strategy or a family may be: see `OptionType`. */
export type OptionValue = boolean | number | string | readonly number[] | readonly string[];

/**
 * An option of a strategy or a family, described once: the command line makes an option of it, programs write
 * its name in camel case.
 */
export interface OptionSpec {
  /** In snake case, as on the command line. */
  readonly name: string;
  readonly text: string;
  readonly takes: OptionType;
  readonly default?: OptionValue;
  /** Of a flag that is on by default: what turning it off does, see `flagName`. */
  readonly textOff?: string;
  /**
   * Accepted without effect where its owner is not used, because command lines of the public scripts have it.
   */
  readonly tolerated?: true;
  /** How the default is told where it depends on something else. */
  readonly defaultText?: string;
}

/** `num_pipeline_patch` -> `numPipelinePatch`. */
export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * What is on unless said otherwise is turned off on the command line: `use_resolution_binning` by
 * `--no_resolution_binning`.
 */
export function flagName({ name, takes, default: initial }: OptionSpec): string {
  return takes.type === 'flag' && initial === true ? `no_${name.replace(/^use_/, '')}` : name;
}

/** Values by the names of options, where they are by those of programs. */
export function snakeCased<T>(values: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name.replace(/[A-Z]|\d+/g, (part) => `_${part.toLowerCase()}`),
      value,
    ]),
  );
}

/** Refuses values that an option does not take; `undefined` is an option that was not given. */
export function checkOption({ name, takes }: OptionSpec, value: unknown): void {
  if (value === undefined) return;
  const wrong = describeWrong(takes, value);
  if (wrong !== undefined) throw expected(wrong, `--${name}`, value);
}

/** What was wanted instead; undefined where the value is right. */
function describeWrong(takes: OptionType, value: unknown): string | undefined {
  switch (takes.type) {
    case 'flag':
      return typeof value === 'boolean' ? undefined : 'true or false';
    case 'integer':
      return isInteger(value, takes.least) ? undefined : `an integer of at least ${takes.least}`;
    case 'integers': {
      const right =
        Array.isArray(value) && value.length > 0 && value.every((item) => isInteger(item, takes.least));
      return right ? undefined : `integers of at least ${takes.least}`;
    }
    case 'number': {
      const right = typeof value === 'number' && value >= takes.least && value <= takes.most;
      return right ? undefined : `a number from ${takes.least} to ${takes.most}`;
    }
    case 'choice': {
      const right = typeof value === 'string' && takes.values.includes(value);
      return right ? undefined : `one of ${takes.values.join(', ')}`;
    }
    case 'texts': {
      const right = Array.isArray(value) && value.every((item) => typeof item === 'string');
      return right ? undefined : 'texts';
    }
  }
}

function isInteger(value: unknown, least: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= least;
}

/** Specs that all take an option of this name, and who owns them. */
export interface OwnedOption {
  readonly spec: OptionSpec;
  /** Names of the strategies or families that look at it. */
  readonly owners: readonly string[];
}

/** The options of several owners, those of the same name as one, in order of first appearance. */
export function gatherOptions(
  owners: Readonly<Record<string, { readonly options: readonly OptionSpec[] }>>,
): readonly OwnedOption[] {
  const found = new Map<string, { specs: OptionSpec[]; owners: string[] }>();
  for (const [owner, { options }] of Object.entries(owners)) {
    for (const spec of options) {
      const known = found.get(spec.name) ?? { specs: [], owners: [] };
      known.specs.push(spec);
      known.owners.push(owner);
      found.set(spec.name, known);
    }
  }
  return [...found.values()].map((option) => ({
    spec: joinSpecs(option.specs, option.owners),
    owners: option.owners,
  }));
}

/** The texts of all, each after its owner's name, and with its default where they do not agree on one. */
function joinSpecs(specs: readonly OptionSpec[], owners: readonly string[]): OptionSpec {
  const [first] = specs as [OptionSpec];
  const agreed = specs.every((spec) => defaultText(spec) === defaultText(first));
  const ending = (spec: OptionSpec) => (agreed ? '' : defaultText(spec));
  const text = specs.map((spec, index) => `${owners[index]}: ${spec.text}${ending(spec)}`).join('; ');
  const { default: initial, defaultText: told, ...rest } = first;
  if (!agreed) return { ...rest, text };
  return {
    ...rest,
    text,
    ...(initial !== undefined && { default: initial }),
    ...(told !== undefined && { defaultText: told }),
  };
}

/** Such as " (default: 4)", empty where there is none. */
export function defaultText({ default: value, defaultText: text }: OptionSpec): string {
  if (text !== undefined) return ` (default: ${text})`;
  return value === undefined || value === false ? '' : ` (default: ${String(value)})`;
}

/** Refuses an option that others own: `kind` is what owners are, `actual` who is there instead. */
export function ownedByOthers({ spec, owners }: OwnedOption, kind: string, actual: string): DistriError {
  return new DistriError('usage', `--${flagName(spec)} needs ${kind} ${owners.join(' or ')}, not ${actual}`);
}
