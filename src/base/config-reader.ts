import { DistriError } from './errors.js';
import { quote } from './quote.js';

/** A component's configuration as it was read. */
export type RawConfig = Readonly<Record<string, unknown>>;

/**
 * Far above any model that exists; a damaged file must not ask for all memory, or for hours of building
 * graphs.
 */
export const limits = {
  /** Channels, features, entries of a vocabulary. */
  width: 2 ** 20,
  /** Layers of one kind, one after another. */
  layers: 256,
  /** Levels of a UNet or VAE, each with half the rows and columns of the one before. */
  levels: 16,
} as const;

/** What a number may be. */
interface Bounds {
  readonly least?: number;
  readonly most?: number;
  /** All are less. */
  readonly below?: number;
}

/**
 * Reads typed values out of a diffusers or transformers config. Each failure names file, key and value; a
 * missing key takes the default of the class, as `from_config` does.
 */
export class ConfigReader {
  readonly #source: string;
  readonly #config: RawConfig;

  /** `source` is the file within its checkpoint, such as "unet/config.json". */
  constructor(source: string, config: RawConfig) {
    this.#source = source;
    this.#config = config;
  }

  has(key: string): boolean {
    return this.#config[key] !== undefined && this.#config[key] !== null;
  }

  integer(key: string, fallback?: number, { least = 1, most = limits.width }: Bounds = {}): number {
    const value = this.#get(key, fallback);
    if (isInteger(value, least, most)) return value;
    throw this.#wrong(key, `a whole number from ${least} to ${most}`, value);
  }

  number(key: string, fallback?: number, bounds: Bounds = {}): number {
    const value = this.#get(key, fallback);
    if (isNumber(value, bounds)) return value;
    throw this.#wrong(key, `a number${boundsText(bounds)}`, value);
  }

  /** A number to divide by. */
  nonZero(key: string, fallback: number): number {
    const value = this.number(key, fallback);
    if (value === 0) throw this.#wrong(key, 'a number other than 0', value);
    return value;
  }

  /** A number that may be absent or null. */
  optionalNumber(key: string, bounds: Bounds = {}): number | undefined {
    return this.has(key) ? this.number(key, undefined, bounds) : undefined;
  }

  /**
   * A number that may be infinite: as such, or as a string that stands for it where JSON has no word for it.
   */
  extendedNumber(key: string, fallback: number): number {
    const value = this.#get(key, fallback);
    const infinite = typeof value === 'string' && /^-?inf(inity)?$/i.test(value);
    const number = infinite ? Infinity * (value.startsWith('-') ? -1 : 1) : value;
    if (typeof number === 'number' && !Number.isNaN(number)) return number;
    throw this.#wrong(key, 'a number or "-Infinity"', value);
  }

  /** `null` counts as false, as in Python. */
  boolean(key: string, fallback: boolean): boolean {
    if (this.#config[key] === null) return false;
    const value = this.#get(key, fallback);
    if (typeof value !== 'boolean') throw this.#wrong(key, 'true or false', value);
    return value;
  }

  /** One per level, each up to `limits.width`. */
  integers(key: string, fallback?: readonly number[]): readonly number[] {
    const value = this.#get(key, fallback);
    const { width, levels } = limits;
    const isOne = (item: unknown): item is number => isInteger(item, 1, width);
    if (isList(value, levels) && value.every(isOne)) return value;
    throw this.#wrong(key, `a list of at most ${levels} whole numbers from 1 to ${width}`, value);
  }

  /** `count` numbers; undefined where absent or null. */
  numbers(key: string, count: number, bounds: Bounds = {}): readonly number[] | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#config[key];
    const isOne = (item: unknown): item is number => isNumber(item, bounds);
    if (Array.isArray(value) && value.length === count && value.every(isOne)) return value;
    throw this.#wrong(key, `a list of ${count} numbers${boundsText(bounds)}`, value);
  }

  /** One number for all of `count` blocks, or a list with one each; from 1 to `most`. */
  perBlock(key: string, count: number, fallback?: number, most: number = limits.width): readonly number[] {
    const value = this.#get(key, fallback);
    const isOne = (item: unknown): item is number => isInteger(item, 1, most);
    if (isOne(value)) return Array.from({ length: count }, () => value);
    if (Array.isArray(value) && value.length === count && value.every(isOne)) return value;
    throw this.#wrong(key, `a whole number from 1 to ${most} or a list of ${count}`, value);
  }

  /** Refuses `width`, which `key` says, when it can't be cut into equal `parts`, which `partsKey` says. */
  checkDivides(key: string, width: number, partsKey: string, parts: number): void {
    if (width % parts === 0) return;
    throw this.invalid(`${key} = ${width} is not a multiple of ${partsKey} = ${parts}`);
  }

  /**
   * One of the words in `known`, or one that `aliases` takes for it; any other word is not implemented, not
   * malformed.
   */
  choice<T extends string>(
    key: string,
    known: readonly T[],
    fallback?: T,
    aliases: Readonly<Record<string, T>> = {},
  ): T {
    const value = this.#get(key, fallback);
    if (typeof value !== 'string') throw this.#wrong(key, `one of ${known.join(', ')}`, value);
    return this.#known(key, Object.hasOwn(aliases, value) ? aliases[value] : value, known, value);
  }

  choices<T extends string>(key: string, known: readonly T[]): readonly T[] {
    const value = this.#get(key, undefined);
    if (!isList(value, limits.levels)) {
      throw this.#wrong(key, `a list of at most ${limits.levels} strings`, value);
    }
    return value.map((item) => this.#known(key, item, known));
  }

  /**
   * Refuses keys whose value would change the result but is not implemented: `supported` lists, per key, the
   * values that are (null and absence always are).
   */
  refuseUnsupported(supported: Readonly<Record<string, readonly unknown[]>>): void {
    for (const [key, values] of Object.entries(supported)) {
      if (this.has(key) && !values.includes(this.#config[key])) {
        throw this.unsupported(key, this.#config[key], values);
      }
    }
  }

  unsupported(key: string, value: unknown, supported: readonly unknown[]): DistriError {
    const works = supported.length > 0 ? supported.map(quote).join(' or ') : 'null';
    return new DistriError(
      'unsupported',
      `${this.#source}: ${key} = ${quote(value)} is not implemented; ${works} would work`,
    );
  }

  invalid(problem: string): DistriError {
    return new DistriError('checkpoint', `${this.#source}: ${problem}`);
  }

  /** The error for values that exclude one another. */
  contradiction(values: RawConfig): DistriError {
    const list = Object.entries(values).map(([key, value]) => `${key} = ${quote(value)}`);
    return this.invalid(`${list.join(' and ')} exclude each other`);
  }

  #known<T extends string>(key: string, value: unknown, known: readonly T[], written = value): T {
    const found = known.find((item) => item === value);
    if (found === undefined) throw this.unsupported(key, written, known);
    return found;
  }

  #get(key: string, fallback: unknown): unknown {
    return this.has(key) ? this.#config[key] : fallback;
  }

  #wrong(key: string, what: string, value: unknown): DistriError {
    const shown = value === undefined ? 'nothing' : describe(value);
    return this.invalid(`expected ${what} for ${key} but found ${shown}`);
  }
}

/** JSON writes NaN and infinite numbers as null. */
function describe(value: unknown): string {
  return typeof value === 'number' ? String(value) : quote(value);
}

function isInteger(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}

function isNumber(
  value: unknown,
  { least = -Infinity, most = Infinity, below = Infinity }: Bounds,
): value is number {
  return (
    typeof value === 'number' && Number.isFinite(value) && value >= least && value <= most && value < below
  );
}

function isList(value: unknown, most: number): value is unknown[] {
  return Array.isArray(value) && value.length > 0 && value.length <= most;
}

function boundsText({ least, most, below }: Bounds): string {
  return [
    least === undefined ? '' : ` from ${least}`,
    most === undefined ? '' : ` to ${most}`,
    below === undefined ? '' : ` below ${below}`,
  ].join('');
}
