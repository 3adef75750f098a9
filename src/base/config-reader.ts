import { DistriError } from './errors.js';
import { quote } from './quote.js';

/** A component's config.json as it was read. */
export type RawConfig = Readonly<Record<string, unknown>>;

/**
 * Far above any model that exists; a damaged file must not ask for all memory, or for hours of building graphs.
 */
export const limits = {
  /** Channels, features, entries of a vocabulary. */
  width: 2 ** 20,
  /** Layers of one kind, one after another. */
  layers: 256,
  /** Levels of a UNet or VAE, each with half the rows and columns of the one before. */
  levels: 16,
} as const;

/**
 * Reads typed values out of a diffusers or transformers config. Each failure names component, key and value; a missing key
 * takes the default of the class, as `from_config` does.
 */
export class ConfigReader {
  readonly #component: string;
  readonly #config: RawConfig;

  constructor(component: string, config: RawConfig) {
    this.#component = component;
    this.#config = config;
  }

  has(key: string): boolean {
    return this.#config[key] !== undefined && this.#config[key] !== null;
  }

  /** From 1 to `most`. */
  integer(key: string, fallback?: number, most: number = limits.width): number {
    const value = this.#get(key, fallback);
    if (!isPositiveInteger(value, most)) throw this.#wrong(key, `a positive integer up to ${most}`, value);
    return value;
  }

  number(key: string, fallback?: number): number {
    const value = this.#get(key, fallback);
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.#wrong(key, 'a number', value);
    return value;
  }

  /** A number to divide by. */
  nonZero(key: string, fallback: number): number {
    const value = this.number(key, fallback);
    if (value === 0) throw this.#wrong(key, 'a number other than 0', value);
    return value;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#get(key, fallback);
    if (typeof value !== 'boolean') throw this.#wrong(key, 'true or false', value);
    return value;
  }

  /** One per level, each up to `limits.width`. */
  integers(key: string, fallback?: readonly number[]): readonly number[] {
    const value = this.#get(key, fallback);
    const { width } = limits;
    if (
      isList(value, limits.levels) &&
      value.every((item): item is number => isPositiveInteger(item, width))
    ) {
      return value;
    }
    throw this.#wrong(key, `a list of at most ${limits.levels} positive integers up to ${width}`, value);
  }

  /** `count` finite numbers; undefined where absent or null. */
  numbers(key: string, count: number): readonly number[] | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#config[key];
    if (Array.isArray(value) && value.length === count && value.every(Number.isFinite)) return value;
    throw this.#wrong(key, `a list of ${count} numbers`, value);
  }

  /** One number for all of `count` blocks, or a list with one each; from 1 to `most`. */
  perBlock(key: string, count: number, fallback?: number, most: number = limits.width): readonly number[] {
    const value = this.#get(key, fallback);
    if (isPositiveInteger(value, most)) return Array.from({ length: count }, () => value);
    const isOne = (item: unknown): item is number => isPositiveInteger(item, most);
    if (Array.isArray(value) && value.length === count && value.every(isOne)) return value;
    throw this.#wrong(key, `a positive integer up to ${most} or a list of ${count}`, value);
  }

  /** Refuses `width`, which `key` says, when it can't be cut into equal `parts`, which `partsKey` says. */
  checkDivides(key: string, width: number, partsKey: string, parts: number): void {
    if (width % parts === 0) return;
    throw new DistriError(
      'checkpoint',
      `${this.#component}/config.json: ${key} = ${width} is not a multiple of ${partsKey} = ${parts}`,
    );
  }

  /** A string that must be one of `known`; anything else is not implemented, not malformed. */
  choice<T extends string>(key: string, known: readonly T[], fallback?: T): T {
    const value = this.#get(key, fallback);
    if (typeof value !== 'string') throw this.#wrong(key, 'a string', value);
    return this.#known(key, value, known);
  }

  choices<T extends string>(key: string, known: readonly T[]): readonly T[] {
    const value = this.#get(key, undefined);
    if (!isList(value, limits.levels)) {
      throw this.#wrong(key, `a list of at most ${limits.levels} strings`, value);
    }
    return value.map((item) => this.#known(key, item, known));
  }

  /**
   * Refuses keys whose value would change the result but is not implemented: `supported` lists, per key, the values that are
   * (null and absence always are).
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
      `${this.#component}/config.json: ${key} = ${quote(value)} is not implemented; ${works} would work`,
    );
  }

  #known<T extends string>(key: string, value: unknown, known: readonly T[]): T {
    const found = known.find((item) => item === value);
    if (found === undefined) throw this.unsupported(key, value, known);
    return found;
  }

  #get(key: string, fallback: unknown): unknown {
    return this.has(key) ? this.#config[key] : fallback;
  }

  #wrong(key: string, what: string, value: unknown): DistriError {
    const shown = value === undefined ? 'nothing' : quote(value);
    return new DistriError(
      'checkpoint',
      `${this.#component}/config.json: expected ${what} for ${key} but found ${shown}`,
    );
  }
}

function isPositiveInteger(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= most;
}

function isList(value: unknown, most: number): value is unknown[] {
  return Array.isArray(value) && value.length > 0 && value.length <= most;
}
