import { DistriError } from './errors.js';
import { readWhole } from './file-io.js';
import { quote } from './quote.js';

/** A parsed JSON object, of which nothing is known yet. */
export type JsonObject = Record<string, unknown>;

/** Configuration files are kilobytes; tokenizer vocabularies and weight indexes are a few megabytes. */
const DEFAULT_LIMIT = 64 * 1024 * 1024;

/** A vocabulary and its merges have half a million. A value takes up to 100 bytes and a microsecond. */
const MAX_VALUES = 5_000_000;

/** Deep enough for any file of a checkpoint, far from the end of the stack. */
const MAX_DEPTH = 200;

/** Reads the JSON object in the file at `path`. */
export async function readJsonObject(path: string, limit = DEFAULT_LIMIT): Promise<JsonObject> {
  const value = await readJson(path, limit);
  if (!isJsonObject(value)) throw new DistriError('checkpoint', `${path}: not a JSON object`);
  return value;
}

/** Reads the JSON file at `path`, which may have at most `limit` bytes. */
export async function readJson(path: string, limit = DEFAULT_LIMIT): Promise<unknown> {
  return parseJson(decodeUtf8(await readWhole(path, { most: limit, of: 'JSON' }), path), path);
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Parses JSON as Python's `json.loads` does: the bare words NaN, Infinity and -Infinity are numbers, because
 * Python writes them (schedulers' `lambda_min_clipped`). `source` is the name that errors give, with line and
 * column.
 */
export function parseJson(text: string, source: string): unknown {
  return new Parser(text, source, { uniqueKeys: false, mostValues: MAX_VALUES }).parse();
}

/**
 * As `parseJson`, but a key that occurs twice in one object is an error (JSON.parse and Python keep the
 * last), and so are more than `mostValues` values, lists and objects among them.
 */
export function parseJsonUniqueKeys(text: string, source: string, mostValues: number): unknown {
  return new Parser(text, source, { uniqueKeys: true, mostValues }).parse();
}

/** The text in `bytes`, which must be valid UTF-8. */
export function decodeUtf8(bytes: Uint8Array, source: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new DistriError('checkpoint', `${source}: not UTF-8 text`, { cause: error });
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const SPACE = /[ \t\n\r]*/y;
/** The characters of a string up to its end, an escape or something that may not stand in a string. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids exactly these in strings
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

const WORDS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['null', null],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

/** A recursive descent parser: JSON.parse knows no NaN, keeps no position and hides repeated keys. */
class Parser {
  private position = 0;
  private depth = 0;
  private values = 0;

  constructor(
    private readonly text: string,
    private readonly source: string,
    private readonly options: { readonly uniqueKeys: boolean; readonly mostValues: number },
  ) {}

  parse(): unknown {
    const value = this.value();
    this.skipSpace();
    if (this.position < this.text.length) throw this.unexpected('the end of the file');
    return value;
  }

  private value(): unknown {
    this.values += 1;
    const { mostValues } = this.options;
    if (this.values > mostValues) throw this.error(`more than the ${mostValues} values that are expected`);
    this.skipSpace();
    const first = this.text[this.position];
    if (first === '{') return this.nested(() => this.object());
    if (first === '[') return this.nested(() => this.array());
    if (first === '"') return this.string();
    for (const [word, value] of WORDS) {
      if (this.text.startsWith(word, this.position)) {
        this.position += word.length;
        return value;
      }
    }
    return this.number();
  }

  private nested<T>(parse: () => T): T {
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw this.error(`nested deeper than ${MAX_DEPTH} levels`);
    this.position += 1;
    const value = parse();
    this.depth -= 1;
    return value;
  }

  private object(): JsonObject {
    const object: JsonObject = {};
    if (this.accept('}')) return object;
    do {
      this.skipSpace();
      if (this.text[this.position] !== '"') throw this.unexpected('a key in double quotes');
      const start = this.position;
      const key = this.string();
      if (this.options.uniqueKeys && Object.hasOwn(object, key)) {
        throw this.error(`the key ${quote(key)} occurs twice`, start);
      }
      this.expect(':');
      define(object, key, this.value());
    } while (this.accept(','));
    this.expect('}');
    return object;
  }

  private array(): unknown[] {
    const array: unknown[] = [];
    if (this.accept(']')) return array;
    do array.push(this.value());
    while (this.accept(','));
    this.expect(']');
    return array;
  }

  private string(): string {
    const start = this.position;
    this.position += 1;
    this.match(PLAIN);
    if (this.text[this.position] === '"') {
      this.position += 1;
      return this.text.slice(start + 1, this.position - 1);
    }
    while (this.match(ESCAPE) !== undefined) this.match(PLAIN);
    if (this.text[this.position] !== '"') throw this.unexpected('the end of a string');
    this.position += 1;
    return JSON.parse(this.text.slice(start, this.position));
  }

  private number(): number {
    const digits = this.match(NUMBER);
    if (digits === undefined) throw this.unexpected('a value');
    return Number(digits);
  }

  /** The text that `pattern` (sticky) matches here, passed over; undefined where it does not match. */
  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.position += found.length;
    return found;
  }

  private skipSpace(): void {
    this.match(SPACE);
  }

  private accept(character: string): boolean {
    this.skipSpace();
    if (this.text[this.position] !== character) return false;
    this.position += 1;
    return true;
  }

  private expect(character: string): void {
    if (!this.accept(character)) throw this.unexpected(`"${character}"`);
  }

  private unexpected(wanted: string): DistriError {
    const found = this.position < this.text.length ? JSON.stringify(this.text[this.position]) : 'the end';
    return this.error(`expected ${wanted} but found ${found}`);
  }

  private error(problem: string, position = this.position): DistriError {
    let line = 1;
    let start = 0;
    for (
      let end = this.text.indexOf('\n');
      end >= 0 && end < position;
      end = this.text.indexOf('\n', start)
    ) {
      line += 1;
      start = end + 1;
    }
    const column = position - start + 1;
    return new DistriError('checkpoint', `${this.source}:${line}:${column}: ${problem}`);
  }
}

/** A plain assignment to `__proto__` would change the object's prototype instead of adding a key. */
function define(object: JsonObject, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    object[key] = value;
  }
}
