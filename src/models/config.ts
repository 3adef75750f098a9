import { DistriError } from '../runtime/errors.js';

/** A component's config.json as it was read. */
export type RawConfig = Readonly<Record<string, unknown>>;

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

  integer(key: string, fallback?: number): number {
    const value = this.#get(key, fallback);
    if (!isPositiveInteger(value)) throw this.#wrong(key, 'a positive integer', value);
    return value;
  }

  number(key: string, fallback?: number): number {
    const value = this.#get(key, fallback);
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.#wrong(key, 'a number', value);
    return value;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#get(key, fallback);
    if (typeof value !== 'boolean') throw this.#wrong(key, 'true or false', value);
    return value;
  }

  integers(key: string, fallback?: readonly number[]): readonly number[] {
    const value = this.#get(key, fallback);
    if (!Array.isArray(value) || value.length === 0 || !value.every(isPositiveInteger)) {
      throw this.#wrong(key, 'a list of positive integers', value);
    }
    return value;
  }

  /** One number for all of `count` blocks, or a list with one each. */
  perBlock(key: string, count: number, fallback?: number): readonly number[] {
    const value = this.#get(key, fallback);
    if (isPositiveInteger(value)) return Array.from({ length: count }, () => value);
    if (Array.isArray(value) && value.length === count && value.every(isPositiveInteger)) return value;
    throw this.#wrong(key, `a positive integer or a list of ${count}`, value);
  }

  /** A string that must be one of `known`; anything else is not implemented, not malformed. */
  choice<T extends string>(key: string, known: readonly T[], fallback?: T): T {
    const value = this.#get(key, fallback);
    if (typeof value !== 'string') throw this.#wrong(key, 'a string', value);
    return this.#known(key, value, known);
  }

  choices<T extends string>(key: string, known: readonly T[]): readonly T[] {
    const value = this.#get(key, undefined);
    if (!Array.isArray(value) || value.length === 0) throw this.#wrong(key, 'a list of strings', value);
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
    const works = supported.length > 0 ? supported.map((item) => JSON.stringify(item)).join(' or ') : 'null';
    return new DistriError(
      'unsupported',
      `${this.#component}/config.json: ${key} = ${JSON.stringify(value)} is not implemented; ${works} would work`,
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
    const shown = value === undefined ? 'nothing' : JSON.stringify(value);
    return new DistriError(
      'checkpoint',
      `${this.#component}/config.json: expected ${what} for ${key} but found ${shown}`,
    );
  }
}

function isPositiveInteger(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0;
}
