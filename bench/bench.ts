import { relative } from 'node:path';
import { Argument, Command, CommanderError, Option } from 'commander';
import { type Observer, silent } from '../src/app/observer.js';
import { DistriError, exitStatus, expected, toError } from '../src/base/errors.js';
import { watchInterruption } from '../src/base/interruption.js';

/** What an option takes. */
export interface Kind<T> {
  /** Stands for a value in help texts. */
  readonly placeholder: string;
  /** `earlier` is what the same option said before; texts that mean nothing are refused. */
  parse(text: string, name: string, earlier: T | undefined): T;
  /** As users would write it. */
  tell(value: T): string;
}

/** An option of a benchmark, and what holds where it is not given. */
export interface BenchOption<T> {
  readonly kind: Pick<Kind<T>, 'placeholder' | 'parse'>;
  readonly text: string;
  readonly default: T;
  /** How the default is told; empty where there is nothing to tell. */
  readonly defaultText: string;
  /** Given by its place instead of its name, and always. */
  readonly positional?: true;
}

type BenchOptions = Readonly<Record<string, BenchOption<unknown>>>;

/** What options come to. */
export type Given<O extends BenchOptions> = { readonly [N in keyof O]: O[N]['default'] };

export interface Bench<O extends BenchOptions> {
  /** Before messages. */
  readonly name: string;
  /** What it measures and prints. */
  readonly text: string;
  readonly options: O;
}

/** Tells what users should know, such as that a machine is being measured. */
export const notes: Observer = { ...silent, note: (line) => console.error(line) };

/**
 * The program of a benchmark: reads its options, answers --help, and says in one line what is wrong. `signal`
 * is aborted when the user wants an end.
 */
export async function runBench<O extends BenchOptions>(
  bench: Bench<O>,
  measure: (given: Given<O>, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const interruption = watchInterruption();
  try {
    await measure(readOptions(bench, process.argv.slice(2)), interruption.signal);
  } catch (thrown) {
    process.exitCode = report(bench.name, toError(thrown));
  } finally {
    interruption.dispose();
  }
}

export function option<T>(kind: Kind<T>, text: string, fallback: NoInfer<T>): BenchOption<T> {
  return { kind, text, default: fallback, defaultText: kind.tell(fallback) };
}

/** An option that is undefined where it is not given; `defaultText` says what holds then. */
export function optional<T>(kind: Kind<T>, text: string, defaultText = ''): BenchOption<T | undefined> {
  return { kind, text, default: undefined, defaultText };
}

/** What every call names by its place. */
export function argument(text: string): BenchOption<string> {
  return { kind: word(''), text, default: '', defaultText: '', positional: true };
}

export function integer(least = 1): Kind<number> {
  return { placeholder: 'n', parse: (text, name) => readInteger(text, name, least), tell: String };
}

/** Integers with commas between them. */
export function integers(least = 1): Kind<readonly number[]> {
  return {
    placeholder: 'n,n',
    parse: (text, name) => text.split(',').map((part) => readInteger(part, name, least)),
    tell: (values) => values.join(),
  };
}

export function oneOf<const T extends string>(values: readonly T[]): Kind<T> {
  return {
    placeholder: values.join('|'),
    parse: (text, name) => {
      const value = values.find((candidate) => candidate === text);
      if (value === undefined) throw expected(`one of ${values.join(', ')}`, name, text);
      return value;
    },
    tell: String,
  };
}

/** Anything, such as a name or the path of a file. */
export function word(placeholder: string): Kind<string> {
  return { placeholder, parse: (text) => text, tell: String };
}

/** May be given several times. */
export function words(placeholder: string): Kind<readonly string[]> {
  return {
    placeholder,
    parse: (text, _name, earlier = []) => [...earlier, text],
    tell: (values) => values.join(' '),
  };
}

/** A model and the side of its pictures. */
export interface SizedModel {
  readonly name: string;
  readonly size: number;
}

/** Models with commas between them, each as name:size. */
export const sizedModels: Kind<readonly SizedModel[]> = {
  placeholder: 'name:size,…',
  parse: (text, option) =>
    text.split(',').map((part): SizedModel => {
      const [name = '', size = '', ...rest] = part.split(':');
      if (name === '' || rest.length > 0) throw expected('name:size', option, part);
      return { name, size: readInteger(size, option, 1) };
    }),
  tell: (models) => models.map(({ name, size }) => `${name}:${size}`).join(),
};

function readInteger(text: string, name: string, least: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
  throw expected(`an integer of at least ${least}`, name, text);
}

function readOptions<O extends BenchOptions>({ text, options }: Bench<O>, argv: readonly string[]): Given<O> {
  const command = new Command(`node ${relative('', process.argv[1] ?? '')}`)
    .description(text)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  const given = new Map<string, unknown>();
  for (const [name, option] of Object.entries(options)) {
    given.set(name, option.default);
    addOption(command, name, option, (value) => given.set(name, value));
  }
  command.parse(argv, { from: 'user' });
  return Object.fromEntries(given) as Given<O>;
}

function addOption(
  command: Command,
  name: string,
  { kind, text, defaultText, positional }: BenchOption<unknown>,
  give: (value: unknown) => void,
): void {
  if (positional) {
    const given = new Argument(`<${name}>`, text);
    command.addArgument(given.argParser((value) => give(kind.parse(value, name, undefined))));
    return;
  }
  let earlier: unknown;
  const read = (value: string) => {
    earlier = kind.parse(value, `--${name}`, earlier);
    give(earlier);
  };
  // Not as commander tells it: only of options that have a value by default.
  const help = defaultText === '' ? text : `${text} (default: ${defaultText})`;
  command.addOption(new Option(`--${name} <${kind.placeholder}>`, help).argParser(read));
}

/** Prints an error; returns its exit status. */
function report(name: string, error: Error): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    console.error(`${name}: ${error.message.replace(/^error: /, '').replaceAll('\n', ' ')}`);
    return exitStatus.usage;
  }
  console.error(`${name}: ${error.message}`);
  return error instanceof DistriError ? error.exitStatus : exitStatus.internal;
}
