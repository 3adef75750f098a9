import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { channels } from '../channels.js';
import type { FromRank, ToRank } from '../messages.js';
import type { RunMemory } from '../run-memory.js';
import { type RankEvents, RankLink } from './rank-link.js';

const rankMain = new URL('./rank-main.js', import.meta.url);
/**
 * Threads of Node's that a rank keeps while it waits: one for a communicator and one for a graph, in each
 * channel.
 */
const WAITING_THREADS = 2 * channels.length;
/** Threads that files and pictures are read and written on. */
const WORKING_THREADS = 4;
/** The first line of an error that nobody caught, as Node prints it. */
const errorLine = /^\w*Error\b.*:/;
/** How long the last words of a process that ended may take to arrive. */
const LAST_WORDS_MS = 200;

export interface RankProcessOptions {
  readonly rank: number;
  /** Module that the process runs. */
  readonly entry: URL;
  /** Inherited, see FIRST_DESCRIPTOR. */
  readonly memory: RunMemory;
  /** Receives every line that the process prints. */
  readonly log: (line: string) => void;
}

/** One child process that serves jobs (see serve.ts), seen from the parent. */
export class RankProcess<Job, Result> extends RankLink<Job, Result> {
  private readonly child: ChildProcess;
  private lastLine = '';
  private released = false;

  constructor(options: RankProcessOptions, events: RankEvents<Job, Result>) {
    super(options.rank, events);
    this.child = fork(rankMain, [options.entry.href, String(process.pid)], {
      serialization: 'advanced',
      env: { ...process.env, UV_THREADPOOL_SIZE: String(threadPoolSize()) },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', ...options.memory],
    });
    this.child.once('exit', () => this.leave());
    this.child.once('error', () => {
      if (this.child.pid === undefined) this.leave();
    });
    this.listen(options.log);
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  send(message: ToRank<Job>): void {
    // A failure to send means that the process is ending, which `lost` reports.
    if (this.child.connected) this.child.send(message, () => {});
  }

  /** Lets the process end: it does so when its channel closes. */
  disconnect(): void {
    this.released = true;
    if (this.child.connected) this.child.disconnect();
  }

  kill(): void {
    this.released = true;
    this.child.kill('SIGKILL');
  }

  private listen(log: (line: string) => void): void {
    for (const stream of [this.child.stdout, this.child.stderr]) {
      // There are none where there were no descriptors for them, which is an error that follows.
      if (stream) this.follow(stream, log);
    }
    this.child.on('message', (message) => this.receive(message as FromRank<Result>));
    this.child.on('error', (error) => this.events.failed(this, error));
    const lastWords = Promise.all([once(this.child, 'close'), once(this.child, 'disconnect')]);
    // A process that could not be started only has an error.
    lastWords.catch(() => {});
    this.child.once('exit', (status, signal) => this.ended(lastWords, status, signal));
  }

  private follow(stream: Readable, log: (line: string) => void): void {
    createInterface(stream).on('line', (line) => {
      const words = line.trim();
      // Node says more after the error that ends it.
      if (words !== '' && !errorLine.test(this.lastLine)) this.lastLine = words;
      log(line);
    });
  }

  private async ended(
    lastWords: Promise<unknown>,
    status: number | null,
    signal: NodeJS.Signals | null,
  ): Promise<void> {
    if (!this.released) {
      // The end of a process can be noticed before what it said last; that may be the cause.
      await Promise.race([lastWords, delay(LAST_WORDS_MS)]);
    }
    if (!this.released) this.events.lost(this, this.describeEnd(status, signal));
    this.silence();
  }

  private describeEnd(status: number | null, signal: NodeJS.Signals | null): string {
    const when = this.activity;
    const lastLine = this.lastLine === '' ? '' : `; its last words: ${this.lastLine}`;
    if (signal === 'SIGKILL') {
      return `was killed by SIGKILL ${when} (the kernel does this when memory runs out)${lastLine}`;
    }
    if (signal !== null) return `was ended by ${signal} ${when}${lastLine}`;
    return `exited with status ${status} ${when}${lastLine}`;
  }
}

/** Enough that what ranks wait for is never behind what waits, whatever the user's own choice. */
function threadPoolSize(): number {
  return Math.max(WAITING_THREADS + WORKING_THREADS, Number(process.env.UV_THREADPOOL_SIZE) || 0);
}
