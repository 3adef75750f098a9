import { quote } from '../../../base/quote.js';
import type { ByteReader } from './byte-reader.js';

/**
 * What a pickle may call: a constructor or function that is known by name and does nothing but put values
 * together.
 */
export type Callable = (args: readonly unknown[]) => unknown;

/** What a pickle means by names and references. Both throw for what is not known. */
export interface PickleEnvironment {
  global(module: string, name: string): Callable;
  persistent(id: unknown): unknown;
}

/** An instance of a class that is not executed: only its attributes are kept. */
export class PickledObject {
  attributes: unknown;
}

/** A callable on the stack. */
export class Global {
  constructor(readonly call: Callable) {}
}

/** Larger numbers and longer lines are in no file that holds tensors. */
const LONGEST_INTEGER = 32;
const LONGEST_LINE = 4096;

/**
 * The value of the pickle that begins where `bytes` stands: protocols 0 to 5 as far as tensors need them.
 * Lists and tuples become arrays, dictionaries maps, integers beyond 2^53 bigints. Nothing is executed or
 * looked up but in `environment`; anything else is an error.
 */
export function unpickle(bytes: ByteReader, environment: PickleEnvironment): unknown {
  return new Unpickler(bytes, environment).run();
}

class Unpickler {
  private stack: unknown[] = [];
  /** The stacks below the marks. */
  private readonly below: unknown[][] = [];
  private readonly memo = new Map<number, unknown>();

  constructor(
    private readonly bytes: ByteReader,
    private readonly environment: PickleEnvironment,
  ) {}

  run(): unknown {
    for (;;) {
      const start = this.bytes.position;
      const code = this.bytes.byte();
      if (code === STOP) return this.pop();
      const operation = operations.get(code);
      if (operation === undefined) {
        throw new Error(`byte ${start} is the pickle operation 0x${code.toString(16)}, which is refused`);
      }
      operation(this);
    }
  }

  take(count: number): Buffer {
    return this.bytes.take(count);
  }

  text(count: number): string {
    return this.take(count).toString('utf8');
  }

  line(): string {
    return this.bytes.line(LONGEST_LINE);
  }

  push(value: unknown): void {
    this.stack.push(value);
  }

  pop(): unknown {
    if (this.stack.length === 0) throw new Error('a pickle takes more values than it gave');
    return this.stack.pop();
  }

  top(): unknown {
    if (this.stack.length === 0) throw new Error('a pickle uses a value that it did not give');
    return this.stack.at(-1);
  }

  mark(): void {
    this.below.push(this.stack);
    this.stack = [];
  }

  /** What was pushed since the last mark. */
  popToMark(): unknown[] {
    const below = this.below.pop();
    if (below === undefined) throw new Error('a pickle goes back to a mark that it did not set');
    const values = this.stack;
    this.stack = below;
    return values;
  }

  remember(index: number): void {
    this.memo.set(index, this.top());
  }

  memoize(): void {
    this.remember(this.memo.size);
  }

  recall(index: number): void {
    if (!this.memo.has(index)) throw new Error(`a pickle recalls value ${index}, which it did not store`);
    this.push(this.memo.get(index));
  }

  global(module: unknown, name: unknown): void {
    if (typeof module !== 'string' || typeof name !== 'string')
      throw new Error('a pickle names a class by no text');
    this.push(new Global(this.environment.global(module, name)));
  }

  persistent(): void {
    this.push(this.environment.persistent(this.pop()));
  }

  /** `callable(*args)`, also as `cls.__new__(cls, *args)`. */
  reduce(): void {
    const args = this.pop();
    const callable = this.pop();
    if (!(callable instanceof Global) || !Array.isArray(args))
      throw new Error('a pickle calls what is no function');
    this.push(callable.call(args));
  }

  build(): void {
    const state = this.pop();
    const target = this.top();
    if (target instanceof PickledObject) target.attributes = state;
    // An OrderedDict has `_metadata` with the versions of modules.
    else if (!(target instanceof Map)) throw new Error('a pickle sets the state of what has none');
  }

  append(values: readonly unknown[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw new Error('a pickle appends to what is no list');
    for (const value of values) list.push(value);
  }

  setItems(values: readonly unknown[]): void {
    const target = this.top();
    if (!(target instanceof Map) || values.length % 2 !== 0)
      throw new Error('a pickle sets items of no dictionary');
    for (let i = 0; i < values.length; i += 2) target.set(values[i], values[i + 1]);
  }
}

/** Two's complement, little-endian. */
function long(bytes: Buffer): number | bigint {
  let value = 0n;
  for (const byte of bytes.toReversed()) value = (value << 8n) | BigInt(byte);
  return narrow(BigInt.asIntN(8 * bytes.length, value));
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function longLength(length: number): number {
  if (length > LONGEST_INTEGER) throw new Error(`a pickle has an integer of ${length} bytes`);
  return length;
}

/** `I` and `L` of protocol 0: decimal digits, an `L` at the end, and 00 and 01 for booleans. */
function decimal(line: string): number | bigint | boolean {
  if (line === '00' || line === '01') return line === '01';
  if (!/^-?\d{1,40}L?$/.test(line)) throw new Error(`a pickle has the integer ${quote(line)}`);
  return narrow(BigInt(line.replace('L', '')));
}

/** A length of eight bytes; what lies beyond 2^53 is beyond the file's end, too. */
function length64(bytes: Buffer): number {
  return Number(bytes.readBigUInt64LE());
}

const code = (character: string) => character.charCodeAt(0);

const STOP = code('.');

/** By the names of Python's pickletools. */
const operations: ReadonlyMap<number, (machine: Unpickler) => void> = new Map([
  [0x80, (m) => void m.take(1)], // PROTO
  [0x95, (m) => void m.take(8)], // FRAME
  [code('('), (m) => m.mark()], // MARK
  [code('0'), (m) => void m.pop()], // POP
  [code('1'), (m) => void m.popToMark()], // POP_MARK
  [code('2'), (m) => m.push(m.top())], // DUP
  [code('N'), (m) => m.push(null)], // NONE
  [0x88, (m) => m.push(true)], // NEWTRUE
  [0x89, (m) => m.push(false)], // NEWFALSE
  [code('I'), (m) => m.push(decimal(m.line()))], // INT
  [code('L'), (m) => m.push(decimal(m.line()))], // LONG
  [code('K'), (m) => m.push(m.take(1)[0])], // BININT1
  [code('M'), (m) => m.push(m.take(2).readUInt16LE())], // BININT2
  [code('J'), (m) => m.push(m.take(4).readInt32LE())], // BININT
  [0x8a, (m) => m.push(long(m.take(longLength(m.take(1)[0] as number))))], // LONG1
  [0x8b, (m) => m.push(long(m.take(longLength(m.take(4).readUInt32LE()))))], // LONG4
  [code('G'), (m) => m.push(m.take(8).readDoubleBE())], // BINFLOAT
  [code('U'), (m) => m.push(m.text(m.take(1)[0] as number))], // SHORT_BINSTRING
  [code('T'), (m) => m.push(m.text(m.take(4).readUInt32LE()))], // BINSTRING
  [0x8c, (m) => m.push(m.text(m.take(1)[0] as number))], // SHORT_BINUNICODE
  [code('X'), (m) => m.push(m.text(m.take(4).readUInt32LE()))], // BINUNICODE
  [0x8d, (m) => m.push(m.text(length64(m.take(8))))], // BINUNICODE8
  [code(']'), (m) => m.push([])], // EMPTY_LIST
  [code(')'), (m) => m.push([])], // EMPTY_TUPLE
  [code('}'), (m) => m.push(new Map())], // EMPTY_DICT
  [code('l'), (m) => m.push(m.popToMark())], // LIST
  [code('t'), (m) => m.push(m.popToMark())], // TUPLE
  [0x85, (m) => m.push([m.pop()])], // TUPLE1
  [0x86, (m) => m.push([m.pop(), m.pop()].reverse())], // TUPLE2
  [0x87, (m) => m.push([m.pop(), m.pop(), m.pop()].reverse())], // TUPLE3
  [code('a'), (m) => m.append([m.pop()])], // APPEND
  [code('e'), (m) => m.append(m.popToMark())], // APPENDS
  [code('s'), (m) => m.setItems([m.pop(), m.pop()].reverse())], // SETITEM
  [code('u'), (m) => m.setItems(m.popToMark())], // SETITEMS
  [code('q'), (m) => m.remember(m.take(1)[0] as number)], // BINPUT
  [code('r'), (m) => m.remember(m.take(4).readUInt32LE())], // LONG_BINPUT
  [0x94, (m) => m.memoize()], // MEMOIZE
  [code('h'), (m) => m.recall(m.take(1)[0] as number)], // BINGET
  [code('j'), (m) => m.recall(m.take(4).readUInt32LE())], // LONG_BINGET
  [code('c'), (m) => m.global(m.line(), m.line())], // GLOBAL
  [
    0x93,
    (m) => {
      const name = m.pop();
      m.global(m.pop(), name);
    },
  ], // STACK_GLOBAL
  [code('R'), (m) => m.reduce()], // REDUCE
  [0x81, (m) => m.reduce()], // NEWOBJ
  [code('b'), (m) => m.build()], // BUILD
  [code('Q'), (m) => m.persistent()], // BINPERSID
] satisfies [number, (machine: Unpickler) => void][]);
