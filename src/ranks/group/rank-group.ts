import { setTimeout as delay } from 'node:timers/promises';
import { atExit } from '../../base/at-exit.js';
import { DistriError, exitStatus } from '../../base/errors.js';
import { unlessInterrupted } from '../../base/interruption.js';
import { secondsText } from '../../base/numbers.js';
import type { Addon, Liveness } from '../../engine/addon.js';
import { loadAddon } from '../../engine/load.js';
import { availableCpus } from '../../machine/cpus.js';
import type { Meeting } from '../join/meeting.js';
import { type ErrorReport, type FromRank, type RankProgress, reportedError } from '../messages.js';
import { closeRunMemory, createRunMemory, type RunMemory, runOptions } from '../run-memory.js';
import { startError } from '../start-error.js';
import { Answers } from './answers.js';
import type { RankEvents, RankLink } from './rank-link.js';
import { RankProcess } from './rank-process.js';
import { SilenceWatch, STALLED_MS } from './silence-watch.js';

/** How long ranks may take to answer an abort, and to end when asked to, before they are killed. */
const GRACE_MS = 500;
/** How long a process may take at least before it beats for the first time. */
const STARTUP_MS = 10_000;

export interface LaunchOptions {
  readonly worldSize: number;
  /** Module that every rank process runs; it calls `serveJobs`. */
  readonly entry: URL;
  /** CPUs of each rank; undefined leaves the choice to the kernel. */
  readonly cpus: readonly (readonly number[])[] | undefined;
  /** Milliseconds after which a rank that does not answer is given up, by the parent and by its peers. */
  readonly timeout: number;
  /** When it is aborted all ranks end; its reason is the error. */
  readonly interruption: AbortSignal;
  /** Receives every line that a rank prints. */
  readonly log: (rank: number, line: string) => void;
}

export type GroupListener = (rank: number, progress: RankProgress) => void;

/**
 * Why a group has to end. A `consequence` gives way to the cause that may still arrive, and everything to an
 * interruption.
 */
interface Fault {
  readonly kind: 'consequence' | 'cause' | 'interruption';
  readonly error: DistriError;
}

/** What ranks report because of something else: a peer's failure, or a launcher that ends all for it. */
const consequences: ReadonlySet<string | undefined> = new Set([
  'COMM_ABORTED',
  'hangup',
  'interrupted',
  'terminated',
]);

const faultWeights = { consequence: 0, cause: 1, interruption: 2 } as const;

/**
 * N rank processes that serve one job after another. Whatever goes wrong (a rank throws, ends, is killed, is
 * stopped or hangs; the user interrupts) ends all of them: peers are woken by the run's abort flag, and who
 * is not gone after a short grace is killed. The error of `launch` or `run` is then the first real cause.
 */
export class RankGroup<Job, Result> {
  /** Settles when all ranks wait for a job; rejects when they come to nothing before. */
  readonly ready: Promise<unknown>;
  private readonly ranks: RankLink<Job, Result>[] = [];
  private readonly liveness: Liveness;
  private readonly started: Answers<void>;
  private readonly watch: SilenceWatch;
  private answers: Answers<Result> | undefined;
  private listener: GroupListener = () => {};
  private fault: Fault | undefined;
  private ending: Promise<void> | undefined;
  /** Takes back what is done when this process ends. */
  private readonly forget: () => void;

  /** Starts the processes, and does not wait until they are `ready`. */
  static begin<Job, Result>(options: LaunchOptions): RankGroup<Job, Result> {
    options.interruption.throwIfAborted();
    return new RankGroup<Job, Result>(options, undefined);
  }

  /**
   * Starts the processes; resolves when all of them wait for a job. With a `meeting` nothing is started: this
   * process becomes the first rank, those that come to it the others.
   */
  static async launch<Job, Result>(
    options: LaunchOptions,
    meeting?: Meeting<Job, Result>,
  ): Promise<RankGroup<Job, Result>> {
    const { interruption } = options;
    interruption.throwIfAborted();
    if (meeting !== undefined) await unlessInterrupted(interruption, meeting.complete);
    const group = new RankGroup<Job, Result>(options, meeting);
    await group.ready;
    return group;
  }

  private constructor(
    private readonly options: LaunchOptions,
    private readonly meeting: Meeting<Job, Result> | undefined,
  ) {
    const { worldSize, timeout } = options;
    this.started = new Answers(worldSize, this.disagreed);
    this.ready = this.started.all;
    const addon = loadAddon();
    const memory = createRunMemory(addon, worldSize);
    try {
      this.liveness = new addon.Liveness(runOptions(memory, worldSize));
      for (let rank = 0; rank < worldSize; rank++) this.ranks.push(this.startRank(addon, rank, memory));
      for (const rank of this.ranks) rank.send({ type: 'start', rank: rank.rank, worldSize, timeout });
    } catch (error) {
      this.killAll();
      // The first rank of a launcher would close them when it ends in order.
      if (meeting !== undefined) closeRunMemory(memory);
      throw error instanceof DistriError ? error : startError('The ranks', error);
    } finally {
      // Children have inherited them; processes that a launcher started have yet to open them.
      if (meeting === undefined) closeRunMemory(memory);
    }
    this.watch = new SilenceWatch(() => this.look());
    options.interruption.addEventListener('abort', this.interrupt, { once: true });
    this.forget = atExit(this.killAll);
  }

  /** Process ids by rank. */
  get pids(): readonly (number | undefined)[] {
    return this.ranks.map((rank) => rank.pid);
  }

  /** Something went wrong: the ranks end or are gone, and do no more jobs. */
  get failed(): boolean {
    return this.fault !== undefined;
  }

  /**
   * Gives every rank the same job; resolves to their results in rank order. One job at a time. A job that all
   * ranks refuse rejects without harm: the next one can follow.
   */
  async run(job: Job, listener: GroupListener): Promise<readonly Result[]> {
    if (this.fault !== undefined) {
      await this.ending;
      throw this.fault.error;
    }
    const answers = new Answers<Result>(this.ranks.length, this.disagreed);
    this.answers = answers;
    this.listener = listener;
    for (const rank of this.ranks) rank.send({ type: 'job', job });
    return answers.all;
  }

  /** Ends the processes; resolves when they are gone. */
  close(): Promise<void> {
    this.ending ??= this.end(() => {
      if (this.isUntouched) this.killAll();
      for (const rank of this.ranks) rank.disconnect();
      return this.allGone();
    });
    return this.ending;
  }

  private startRank(addon: Addon, rank: number, memory: RunMemory): RankLink<Job, Result> {
    if (this.meeting !== undefined) return this.meeting.link(rank, memory, this.events);
    const { entry, cpus } = this.options;
    const log = (line: string) => this.options.log(rank, line);
    const start = () => new RankProcess<Job, Result>({ rank, entry, memory, log }, this.events);
    const own = cpus?.[rank];
    try {
      return own === undefined ? start() : startOn(addon, own, start);
    } catch (error) {
      throw startError(`Rank ${rank}`, error);
    }
  }

  private readonly events: RankEvents<Job, Result> = {
    message: (from, message) => this.receive(from, message),
    lost: (from, how) =>
      this.fail('cause', new DistriError('rank', `Rank ${from.rank} (process ${from.pid}) ${how}`)),
    failed: (from, error) => this.fail('cause', startError(`Rank ${from.rank}`, error)),
  };

  private receive(rank: RankLink<Job, Result>, message: FromRank<Result>): void {
    if (message.type === 'ready') this.started.give(rank.rank, undefined);
    else if (message.type === 'result') this.answers?.give(rank.rank, message.result);
    else if (message.type === 'refused')
      this.answers?.refuse(rank.rank, reportedError(message.error, rank.rank));
    else if (message.type === 'error') this.receiveError(rank, message.error);
    else this.listener(rank.rank, message);
  }

  private receiveError(rank: RankLink<Job, Result>, report: ErrorReport): void {
    const error = reportedError(report, rank.rank);
    if (report.code === 'COMM_TIMEOUT') {
      const stalled = this.stalled(STALLED_MS);
      if (stalled !== undefined) this.fail('cause', stalled);
      else this.fail('consequence', error);
    } else {
      this.fail(consequences.has(report.code) ? 'consequence' : 'cause', error);
    }
  }

  /** Who refused alone is not where the others are: as any other error of a rank. */
  private readonly disagreed = (refusal: DistriError): void => this.fail('cause', refusal);

  private look(): void {
    const stalled = this.stalled(this.options.timeout);
    if (stalled !== undefined) this.fail('cause', stalled);
  }

  /** The error for the first rank that was silent for longer than `limit` milliseconds. */
  private stalled(limit: number): DistriError | undefined {
    for (const rank of this.ranks) {
      const sinceBeat = this.liveness.silence(rank.rank);
      const silence = sinceBeat ?? performance.now() - rank.startedAt;
      const allowed = sinceBeat === undefined ? Math.max(limit, STARTUP_MS) : limit;
      if (rank.running && silence > allowed) {
        return new DistriError(
          'timeout',
          `Rank ${rank.rank} (process ${rank.pid}) gave no sign of life for ${secondsText(silence / 1000)} ${rank.activity}: it is stopped or hangs`,
        );
      }
    }
    return undefined;
  }

  private readonly interrupt = (): void => {
    // Launchers end the others when one process dies, which is the cause then.
    const kind = this.meeting === undefined ? 'interruption' : 'consequence';
    this.fail(kind, this.options.interruption.reason);
  };

  private fail(kind: Fault['kind'], error: DistriError): void {
    if (this.fault === undefined || faultWeights[kind] > faultWeights[this.fault.kind]) {
      this.fault = { kind, error };
    }
    this.ending ??= this.end(() => {
      if (kind === 'interruption' && this.isUntouched) this.killAll();
      this.liveness.abort(-1);
      return Promise.all(this.ranks.map((rank) => rank.silenced));
    });
  }

  /** Asks the ranks to end and waits for their `answer`, but not long; then nothing of them is left. */
  private async end(ask: () => Promise<unknown>): Promise<void> {
    await Promise.race([ask(), delay(GRACE_MS)]);
    this.killAll();
    await this.allGone();
    this.watch.stop();
    this.options.interruption.removeEventListener('abort', this.interrupt);
    this.forget();
    if (this.fault !== undefined) {
      this.started.fail(this.fault.error);
      this.answers?.fail(this.fault.error);
    }
  }

  /**
   * Processes of our own that have had nothing to do: nothing is lost with them, and some may yet be
   * starting.
   */
  private get isUntouched(): boolean {
    return this.meeting === undefined && this.answers === undefined;
  }

  private readonly killAll = (): void => {
    const status = this.fault?.error.exitStatus ?? exitStatus.internal;
    for (const rank of this.ranks) rank.kill(status);
  };

  private allGone(): Promise<unknown> {
    return Promise.all(this.ranks.map((rank) => rank.gone));
  }
}

/**
 * Starts a process that may only use `cpus`. The parent takes on the restriction while it forks, because a
 * process that restricts itself is too late: Node's threads exist before its first statement runs.
 */
function startOn<T>(addon: Addon, cpus: readonly number[], start: () => T): T {
  const { ids } = availableCpus();
  addon.setAffinity(cpus);
  try {
    return start();
  } finally {
    addon.setAffinity(ids);
  }
}
