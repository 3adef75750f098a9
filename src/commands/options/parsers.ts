import { expected } from '../../base/errors.js';
import { MAX_SIDE } from '../../base/sizes.js';
import { seedOf, seeds } from '../../tensor/random.js';

/** Turns what stands behind an option into its value, or throws a `usage` error that names the option. */
export type Parser<T> = (text: string) => T;

export function integer(option: string, least: number, most = Number.MAX_SAFE_INTEGER): Parser<number> {
  const limit = most === Number.MAX_SAFE_INTEGER ? '' : ` up to ${most}`;
  const kind = least === 1 ? 'a positive integer' : `an integer of at least ${least}`;
  return (text) => {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text) || value < least || value > most)
      throw expected(`${kind}${limit}`, option, text);
    return value;
  };
}

/** A finite number in `[least, most]`. */
export function number(option: string, least: number, most = Number.POSITIVE_INFINITY): Parser<number> {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < least || value > most) {
      const range = most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`;
      throw expected(`a number ${range}`, option, text);
    }
    return value;
  };
}

/** See `seedOf`. */
export function seed(option: string): Parser<bigint> {
  return (text) => {
    if (!/^[+-]?\d+$/.test(text)) throw expected(seeds, option, text);
    return seedOf(BigInt(text.replace('+', '')), option);
  };
}

export function oneOf<T extends string>(option: string, values: readonly T[]): Parser<T> {
  return (text) => {
    const value = values.find((candidate) => candidate === text);
    if (value === undefined) throw expected(`one of ${values.join(', ')}`, option, text);
    return value;
  };
}

/** Text with something in it. */
export function text(option: string): Parser<string> {
  return (value) => {
    if (value.trim() === '') throw expected('a text', option, value);
    return value;
  };
}

/** A side of a picture in pixels: a multiple of `unit`. */
export function side(option: string, unit: number): Parser<number> {
  const wanted = unit === 1 ? 'a positive integer' : `a positive multiple of ${unit}`;
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < unit || value % unit !== 0) {
      throw expected(`${wanted}${nearest(value, unit)}`, option, text);
    }
    if (value > MAX_SIDE) throw expected(`at most ${MAX_SIDE} pixels`, option, text);
    return value;
  };
}

function nearest(value: number, unit: number): string {
  if (unit === 1 || !Number.isSafeInteger(value) || value < 1) return '';
  const below = Math.floor(value / unit) * unit;
  return below === 0 ? ` (${unit} is near)` : ` (${below} and ${below + unit} are near)`;
}

/** For options that may be given several times: the list of all values. */
export function repeated<T>(parse: Parser<T>): (text: string, earlier: readonly T[] | undefined) => T[] {
  return (text, earlier = []) => [...earlier, parse(text)];
}
