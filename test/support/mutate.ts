/** Numbers from 0 to below a limit. */
export type Below = (limit: number) => number;

/** A small generator with a seed, so that a failure can be repeated (mulberry32). */
export function seededBelow(seed: number): Below {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export function pick<T>(values: readonly T[], below: Below): T {
  return values[below(values.length)] as T;
}

const FRAGMENTS = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ',',
  ':',
  '\\',
  '-',
  ' ',
  '\n',
  '1e999',
  '9007199254740993',
  'NaN',
  'null',
  '\u0000',
  '\ud800',
];

/**
 * A copy with one thing changed: a byte, a piece cut out, something put in, a piece repeated, or the end cut
 * off.
 */
export function mutateBytes(original: Uint8Array, below: Below): Uint8Array {
  const bytes = Buffer.from(original);
  if (bytes.length === 0) return bytes;
  const at = below(bytes.length);
  switch (below(5)) {
    case 0:
      bytes[at] = below(256);
      return bytes;
    case 1:
      return bytes.subarray(0, at);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(20))]);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from(pick(FRAGMENTS, below)), bytes.subarray(at)]);
    default: {
      const from = below(bytes.length);
      bytes.copyWithin(at, from, from + below(30));
      return bytes;
    }
  }
}

const HOSTILE: readonly unknown[] = [
  ...[0, -1, 1, 2, 3, 7, 0.5, 33, 1e4, 1e6, 1e9, 1e12, 2 ** 31, 2 ** 53, 1e308, -1e308, 1e-308],
  ...[
    Number.NaN,
    Number.POSITIVE_INFINITY,
    null,
    true,
    false,
    undefined,
    '',
    'x',
    '1',
    'toString',
    '__proto__',
  ],
  ...[[], {}, [[]], [null], [1e9], ['x'], { content: 1 }],
  Array.from({ length: 10_000 }, () => 320),
  Array.from({ length: 10_000 }, () => 'CrossAttnDownBlock2D'),
  'x'.repeat(100_000),
];

/**
 * A copy of a JSON value with one thing changed: a value replaced by a hostile or doubled one, a key dropped
 * or added, a list grown.
 */
export function mutateJson(value: unknown, below: Below): unknown {
  if (Array.isArray(value)) return mutateList(value, below);
  if (typeof value === 'object' && value !== null) return mutateObject(value, below);
  if (typeof value === 'number' && below(3) === 0)
    return pick([value * 2, -value, value + 1, value / 2], below);
  return pick(HOSTILE, below);
}

function mutateList(list: readonly unknown[], below: Below): unknown {
  const at = below(list.length + 1);
  switch (below(4)) {
    case 0:
      return list.toSpliced(at, 1);
    case 1:
      return [...list, ...list];
    case 2:
      return at < list.length ? list.with(at, mutateJson(list[at], below)) : [...list, pick(HOSTILE, below)];
    default:
      return pick(HOSTILE, below);
  }
}

function mutateObject(object: object, below: Below): unknown {
  const entries = Object.entries(object);
  const at = below(entries.length + 1);
  const [key, value] = entries[at] ?? ['unknown', null];
  if (below(12) === 0) return Object.fromEntries(entries.toSpliced(at, 1));
  return { ...object, [key]: mutateJson(value, below) };
}
