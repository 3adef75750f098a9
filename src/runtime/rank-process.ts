import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { FromRank, RankProgress, ToRank } from './messages.js';

/** How long the last words of a process that ended may take to arrive. */
const LAST_WORDS_MS = 200;
const phaseActivities = {
  load: 'while loading',
  text: 'while encoding the prompt',
  denoise: 'in the first step',
  decode: 'while decoding',
} as const;

export interface RankProcessOptions {
  readonly rank: number;
  /** Module that the process runs. */
  readonly entry: URL;
  /** Inherited, from descriptor 4 on. */
  readonly descriptors: readonly number[];
  /** Receives every line that the process prints. */
  readonly log: (line: string) => void;
}

/** Calls that a rank process causes, each with the process as first argument. */
export interface RankProcessEvents<Job, Result> {
  message(rank: RankProcess<Job, Result>, message: FromRank<Result>): void;
  /** The process ended by itself or by somebody else's signal; not called after `kill` or `disconnect`. */
  lost(rank: RankProcess<Job, Result>, how: string): void;
  /** The process could not be started. */
  failed(rank: RankProcess<Job, Result>, error: Error): void;
}

/** One child process that serves jobs (see serve.ts), seen from the parent. */
export class RankProcess<Job, Result> {
  readonly rank: number;
  readonly startedAt = performance.now();
  /** Settles when the process is gone. */
  readonly gone: Promise<void>;
  /** Settles when nothing more is to be expected from it: it reported an error or is gone. */
  readonly silenced: Promise<void>;
  private readonly child: ChildProcess;
  /** Says when it failed: "in step 3 of 50". */
  private currentActivity = 'while starting';
  private lastLine = '';
  private released = false;
  private silence: () => void = () => {};

  constructor(options: RankProcessOptions, events: RankProcessEvents<Job, Result>) {
    this.rank = options.rank;
    this.child = fork(options.entry, {
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', ...options.descriptors],
    });
    this.silenced = new Promise((resolve) => {
      this.silence = resolve;
    });
    this.gone = new Promise((resolve) => {
      this.child.once('exit', () => resolve());
      this.child.once('error', () => {
        if (this.child.pid === undefined) resolve();
      });
    });
    this.listen(options.log, events);
  }

  get activity(): string {
    return this.currentActivity;
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

  private listen(log: (line: string) => void, events: RankProcessEvents<Job, Result>): void {
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream !== null) this.follow(stream, log);
    }
    this.child.on('message', (message) => {
      const typed = message as FromRank<Result>;
      this.track(typed);
      events.message(this, typed);
    });
    this.child.on('error', (error) => events.failed(this, error));
    const lastWords = Promise.all([once(this.child, 'close'), once(this.child, 'disconnect')]);
    // A process that could not be started only has an error.
    lastWords.catch(() => {});
    this.child.once('exit', (status, signal) => this.ended(lastWords, status, signal, events));
  }

  private follow(stream: Readable, log: (line: string) => void): void {
    createInterface(stream).on('line', (line) => {
      if (line.trim() !== '') this.lastLine = line.trim();
      log(line);
    });
  }

  private track(message: FromRank<Result>): void {
    if (message.type === 'phase' || message.type === 'step') this.currentActivity = describeProgress(message);
    else if (message.type === 'error') this.silence();
    else this.currentActivity = 'between jobs';
  }

  private async ended(
    lastWords: Promise<unknown>,
    status: number | null,
    signal: NodeJS.Signals | null,
    events: RankProcessEvents<Job, Result>,
  ): Promise<void> {
    if (!this.released) {
      // The end of a process can be noticed before what it said last; that may be the cause.
      await Promise.race([lastWords, delay(LAST_WORDS_MS)]);
    }
    if (!this.released) events.lost(this, this.describeEnd(status, signal));
    this.silence();
  }

  private describeEnd(status: number | null, signal: NodeJS.Signals | null): string {
    const when = this.currentActivity;
    const lastLine = this.lastLine === '' ? '' : `; its last words: ${this.lastLine}`;
    if (signal === 'SIGKILL') {
      return `was killed by SIGKILL ${when} (the kernel does this when memory runs out)${lastLine}`;
    }
    if (signal !== null) return `was ended by ${signal} ${when}${lastLine}`;
    return `exited with status ${status} ${when}${lastLine}`;
  }
}

function describeProgress(progress: RankProgress): string {
  if (progress.type === 'phase') {
    return progress.event === 'start' ? phaseActivities[progress.name] : `after ${progress.name}`;
  }
  const { step, steps } = progress;
  return step + 1 < steps ? `in step ${step + 2} of ${steps}` : `after step ${steps} of ${steps}`;
}
