import assert from 'node:assert/strict';

const buffers = [
  'ArrayBuffer',
  'SharedArrayBuffer',
  'DataView',
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
] as const;
type Constructor = new (...given: unknown[]) => { readonly byteLength: number };

let allowed = Number.POSITIVE_INFINITY;
let allocated = 0;

function count(bytes: number): void {
  allocated += bytes;
  assert.ok(allocated <= allowed, `${allocated} bytes of buffers allocated, ${allowed} allowed`);
}

/** Counts what is asked for before it is allocated. Views of a buffer that is there already cost nothing. */
function countConstructor(name: (typeof buffers)[number]): void {
  const original = globalThis[name] as unknown as Constructor & { BYTES_PER_ELEMENT?: number };
  const counted: object = new Proxy(original, {
    construct(target, given, newTarget) {
      const [first] = given as [unknown];
      if (typeof first === 'number') count(first * (original.BYTES_PER_ELEMENT ?? 1));
      const made = Reflect.construct(target, given, newTarget === counted ? target : newTarget);
      if (typeof first !== 'number' && !isBuffer(first)) count(made.byteLength);
      return made;
    },
  });
  Object.assign(globalThis, { [name]: counted });
}

const bufferTags = new Set(['[object ArrayBuffer]', '[object SharedArrayBuffer]']);

function isBuffer(value: unknown): boolean {
  return bufferTags.has(Object.prototype.toString.call(value));
}

function countBuffer(name: 'alloc' | 'allocUnsafe' | 'allocUnsafeSlow'): void {
  const original = Buffer[name] as (size: number, ...rest: unknown[]) => Buffer;
  Object.assign(Buffer, {
    [name](size: number, ...rest: unknown[]) {
      count(size);
      return original.call(Buffer, size, ...rest);
    },
  });
}

let installed = false;

/**
 * Runs `use` and returns how many bytes of buffers it asked for; asking for more than `limit` in all throws
 * an AssertionError before they are allocated. One at a time in a process: the constructors of all modules
 * are watched.
 */
export async function limitAllocations(limit: number, use: () => Promise<void> | void): Promise<number> {
  if (!installed) {
    for (const name of buffers) countConstructor(name);
    for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const) countBuffer(name);
    installed = true;
  }
  allocated = 0;
  allowed = limit;
  try {
    await use();
    return allocated;
  } finally {
    allowed = Number.POSITIVE_INFINITY;
  }
}
