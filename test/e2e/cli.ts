import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package; this file runs as dist/test/e2e/cli.js. */
export const packageRoot = fileURLToPath(new URL('../../..', import.meta.url));
export const executable = join(packageRoot, 'bin', 'distri.js');

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Commands that compute in a type of their own choice where nobody names one. */
const choosing = /^(run[-_]|generate[-_]coco$|plan$)/;

/**
 * Arguments that ask for float32 where they ask for nothing: what tests compare with, and what all ways to
 * share a picture are exact in, whatever the CPU computes fastest. `--dtype auto` says otherwise.
 */
export function inFloat32(args: readonly string[]): readonly string[] {
  const place = args.findIndex((arg) => choosing.test(arg));
  if (place < 0 || args.some((arg) => arg.startsWith('--dtype'))) return args;
  return args.toSpliced(place + 1, 0, '--dtype', 'fp32');
}

/** The real command line tool in a process group of its own, as a shell would start it. */
export class Cli {
  readonly ended: Promise<Ended>;
  private readonly child: ChildProcess;
  private stdout = '';
  private stderr = '';
  private heard: () => void = () => {};

  /** See `inFloat32`; `limits` are shell commands that come before, such as `ulimit -f 10`. */
  constructor(args: readonly string[], cwd: string, limits = 'true') {
    const command = ['-c', `${limits}; exec "$@"`, 'sh', process.execPath, executable, ...inFloat32(args)];
    this.child = spawn('sh', command, { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.on('data', (data: Buffer) => {
      this.stdout += data;
    });
    this.child.stderr?.on('data', (data: Buffer) => {
      this.stderr += data;
      this.heard();
    });
    this.ended = once(this.child, 'close').then(([status, signal]) => ({
      status: status as number | null,
      signal: signal as NodeJS.Signals | null,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
  }

  get pid(): number {
    return this.child.pid as number;
  }

  /** Resolves as soon as stderr matches; rejects when the process ends before. */
  async said(pattern: RegExp): Promise<void> {
    const matched = new Promise<void>((resolve) => {
      this.heard = () => {
        if (pattern.test(this.stderr)) resolve();
      };
      this.heard();
    });
    const ended = this.ended.then(({ stderr }) => {
      if (!pattern.test(stderr)) throw new Error(`ended without saying ${pattern}: ${stderr}`);
    });
    await Promise.race([matched, ended]);
  }

  /** Signals the whole process group, as a terminal does. */
  signalGroup(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal);
  }
}

/** Runs `use` in a new folder that is removed afterwards. */
export async function inNewFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'distri-e2e-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
