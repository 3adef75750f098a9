import { DistriError, expected } from '../base/errors.js';
import { quote } from '../base/quote.js';

const MAX_STEPS_OFFSET = 1_000_000;

/**
 * A scheduler_config.json as one scheduler class sees it. Missing keys have the class's defaults; keys of other classes
 * are not looked at, as in diffusers' `from_config` across classes.
 */
export class SchedulerConfig {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    // A config taken from a diffusers object of another class names the keys that only hold that class's defaults.
    const { _use_default_values: defaults } = values;
    const dropped: readonly unknown[] = Array.isArray(defaults) ? defaults : [];
    this.#values = Object.fromEntries(Object.entries(values).filter(([key]) => !dropped.includes(key)));
  }

  number(key: string, fallback: number, minimum = Number.NEGATIVE_INFINITY, maximum = Infinity): number {
    const value = this.#get(key) ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value) && value >= minimum && value <= maximum)
      return value;
    throw malformed(`a number${range(minimum, maximum)}`, key, value);
  }

  /** A number that may be absent or null. */
  optionalNumber(key: string, minimum: number): number | undefined {
    return this.#isNull(key) ? undefined : this.number(key, Number.NaN, minimum);
  }

  /** A number that may be infinite: as such, or as a string that stands for it where JSON has no word for it. */
  extendedNumber(key: string, fallback: number): number {
    const value = this.#get(key) ?? fallback;
    const infinite = typeof value === 'string' && /^-?inf(inity)?$/i.test(value);
    const number = infinite ? Infinity * (value.startsWith('-') ? -1 : 1) : value;
    if (typeof number === 'number' && !Number.isNaN(number)) return number;
    throw malformed('a number or "-Infinity"', key, value);
  }

  integer(key: string, fallback: number, minimum: number, maximum: number): number {
    const value = this.#get(key) ?? fallback;
    if (Number.isInteger(value) && Number(value) >= minimum && Number(value) <= maximum) return Number(value);
    throw malformed(`a whole number${range(minimum, maximum)}`, key, value);
  }

  /** `null` counts as false, as in Python. */
  boolean(key: string, fallback: boolean): boolean {
    if (this.#get(key) === null) return false;
    const value = this.#get(key) ?? fallback;
    if (typeof value === 'boolean') return value;
    throw malformed('true or false', key, value);
  }

  /**
   * One of the words in `choices`, or one that `aliases` takes for it. Any other word is a feature of diffusers that
   * distri lacks.
   */
  choice<T extends string>(
    key: string,
    choices: readonly T[],
    fallback: T,
    aliases: Readonly<Record<string, T>> = {},
  ): T {
    const value = this.#get(key) ?? fallback;
    if (typeof value !== 'string') throw malformed(`one of ${choices.join(', ')}`, key, value);
    const word = Object.hasOwn(aliases, value) ? aliases[value] : value;
    const found = choices.find((choice) => choice === word);
    if (found === undefined) throw unsupported(key, value, `distri knows ${choices.join(', ')}`);
    return found;
  }

  /** Numbers from 0 to 1, `length` of them; undefined where absent or null. */
  fractions(key: string, length: number): readonly number[] | undefined {
    if (this.#isNull(key)) return undefined;
    const value = this.#get(key);
    const valid =
      Array.isArray(value) &&
      value.length === length &&
      value.every((item) => typeof item === 'number' && item >= 0 && item <= 1);
    if (!valid) throw malformed(`a list of ${length} numbers from 0 to 1`, key, value);
    return value;
  }

  /** Added to the timesteps of spacing "leading". */
  stepsOffset(): number {
    return this.integer('steps_offset', 0, 0, MAX_STEPS_OFFSET);
  }

  /** The error for values that exclude one another. */
  contradiction(values: Readonly<Record<string, unknown>>): DistriError {
    const list = Object.entries(values).map(([key, value]) => `${key} = ${quote(value)}`);
    return new DistriError(
      'checkpoint',
      `The scheduler's configuration has ${list.join(' and ')}, which exclude each other`,
    );
  }

  /** Refuses the keys that ask for something distri does not have, unless they are absent, null or false. */
  refuse(keys: readonly string[]): void {
    for (const key of keys) {
      const value = this.#get(key);
      if (value !== undefined && value !== null && value !== false) {
        throw unsupported(key, value, 'distri does not have it');
      }
    }
  }

  #get(key: string): unknown {
    return this.#values[key];
  }

  #isNull(key: string): boolean {
    return (this.#get(key) ?? null) === null;
  }
}

function range(minimum: number, maximum: number): string {
  const from = minimum > Number.NEGATIVE_INFINITY ? ` from ${minimum}` : '';
  const to = maximum < Infinity ? ` to ${maximum}` : '';
  return from + to;
}

function malformed(what: string, key: string, value: unknown): DistriError {
  return expected(what, `${key} in the scheduler's configuration`, value, 'checkpoint');
}

function unsupported(key: string, value: unknown, instead: string): DistriError {
  return new DistriError(
    'unsupported',
    `The scheduler's configuration has ${key} = ${quote(value)}: ${instead}`,
  );
}
