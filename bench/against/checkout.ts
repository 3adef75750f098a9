import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
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
export async function runDistri(
  { program, folder, name }: Checkout,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const env = { ...process.env, DISTRI_CACHE: join(folder, 'cache') };
  const started = performance.now();
  try {
    await promisify(execFile)(process.execPath, [program, ...argv], { cwd: folder, env, signal });
  } catch (error) {
    signal.throwIfAborted();
    const { stderr = '', message } = error as Error & { readonly stderr?: string };
    const reason = stderr.trim().split('\n').at(-1) || message;
    throw new DistriError('rank', `${name}: ${['distri', ...argv].join(' ')}: ${reason}`, { cause: error });
  }
  return (performance.now() - started) / 1000;
}
