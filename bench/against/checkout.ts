import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { DistriError, expected } from '../../src/base/errors.js';

/** A built checkout of distri, used by its command line alone: that is what all versions have in common. */
export interface Checkout {
  readonly name: string;
  /** For files that its commands write; its cache is in it, so that no version writes another's. */
  readonly folder: string;
  readonly program: string;
}

/** Refuses what is not a built checkout. */
export async function openCheckout(name: string, path: string, folder: string): Promise<Checkout> {
  const program = join(resolve(path), 'bin', 'distri.js');
  const built = join(resolve(path), 'dist', 'src', 'cli.js');
  if (![program, built].every((file) => existsSync(file))) throw expected('a built checkout', name, path);
  await mkdir(folder, { recursive: true });
  return { name, folder, program };
}

/** Seconds that a command takes from its start to its end. */
export function runDistri(checkout: Checkout, argv: readonly string[], signal: AbortSignal): Promise<number> {
  return timeDistri(checkout, argv, signal, undefined);
}

/** Seconds that a command takes from its start to the first line on stderr that begins with `word`. */
export function runDistriUntil(
  checkout: Checkout,
  argv: readonly string[],
  signal: AbortSignal,
  word: string,
): Promise<number> {
  return timeDistri(checkout, argv, signal, word);
}

async function timeDistri(
  { program, folder, name }: Checkout,
  argv: readonly string[],
  signal: AbortSignal,
  until: string | undefined,
): Promise<number> {
  const env = { ...process.env, DISTRI_CACHE: join(folder, 'cache') };
  const started = performance.now();
  let reached: number | undefined;
  try {
    const running = promisify(execFile)(process.execPath, [program, ...argv], { cwd: folder, env, signal });
    if (until !== undefined && running.child.stderr) {
      createInterface(running.child.stderr).on('line', (line) => {
        if (line.startsWith(until)) reached ??= performance.now();
      });
    }
    await running;
  } catch (error) {
    signal.throwIfAborted();
    const { stderr = '', message } = error as Error & { readonly stderr?: string };
    const reason = stderr.trim().split('\n').at(-1) || message;
    throw new DistriError('rank', `${name}: ${['distri', ...argv].join(' ')}: ${reason}`, { cause: error });
  }
  if (until !== undefined && reached === undefined) {
    throw new DistriError('rank', `${name}: ${['distri', ...argv].join(' ')} never said "${until}"`);
  }
  return ((reached ?? performance.now()) - started) / 1000;
}
