import { DistriError } from '../base/errors.js';
import { type NamedJob, type Ranks, rankEntry } from '../jobs/jobs.js';
import { availableCpus, shareCpus } from '../machine/cpus.js';
import { type LaunchOptions, RankGroup } from '../ranks/group/rank-group.js';
import type { Meeting } from '../ranks/join/meeting.js';
import type { Observer } from './observer.js';
import type { SetupOptions } from './options.js';
import { defaultRanks, ranksPerGroup, threadsPerRank } from './setup.js';

/** Processes that a launcher started, instead of distri. */
export type LaunchedRanks = Meeting<NamedJob, unknown>;

/**
 * The groups of ranks of a pipeline: each is started when it is first needed, and again when it has failed.
 */
export class RankGroups {
  readonly #setup: SetupOptions;
  readonly #observer: Observer;
  readonly #launched: LaunchedRanks | undefined;
  readonly #groups = new Map<number, RunningGroup>();
  /** Those that are being started, or could not be. */
  readonly #failed = new Set<number>();

  constructor(setup: SetupOptions, observer: Observer, launched: LaunchedRanks | undefined) {
    this.#setup = setup;
    this.#observer = observer;
    this.#launched = launched;
  }

  /**
   * Starts the first group without waiting for it, so that its processes come up while the parent plans. What
   * becomes of it is told to who asks for it first. Processes of a launcher are there already.
   */
  begin(signal: AbortSignal): void {
    if (this.#launched === undefined) this.#groups.set(0, this.#begin(0, signal));
  }

  /**
   * The ranks of group `index`, ready for a job. When `signal` is aborted they end, and what they do fails;
   * the next call starts others.
   */
  async group(index: number, signal: AbortSignal): Promise<Ranks> {
    const running = this.#groups.get(index);
    if (running && (running.isNew || !running.ranks.failed)) {
      running.isNew = false;
      running.follow(signal);
      await running.ranks.ready;
      return running.ranks;
    }
    this.#failed.add(index);
    await running?.ranks.close();
    const started = await this.#start(index, signal);
    this.#groups.set(index, started);
    this.#failed.delete(index);
    return started.ranks;
  }

  /** Whether the ranks of a group failed, or could not be started. */
  failed(index: number): boolean {
    return this.#failed.has(index) || this.#groups.get(index)?.ranks.failed === true;
  }

  /** Ends all ranks; resolves when they are gone. */
  async close(): Promise<void> {
    const groups = [...this.#groups.values()];
    this.#groups.clear();
    await Promise.all(groups.map(({ ranks }) => ranks.close()));
  }

  async #start(index: number, signal: AbortSignal): Promise<RunningGroup> {
    const launched = this.#launched;
    if (launched === undefined) {
      const begun = this.#begin(index, signal);
      begun.isNew = false;
      await begun.ranks.ready;
      return begun;
    }
    const running = new Interruption(signal);
    // Launchers place their processes themselves.
    const options = this.#options(index, undefined, running);
    return new RunningGroup(await RankGroup.launch<NamedJob, unknown>(options, launched), running);
  }

  #begin(index: number, signal: AbortSignal): RunningGroup {
    const { ranks = defaultRanks() } = this.#setup;
    const worldSize = ranksPerGroup(this.#setup);
    const shares = shareCpus(availableCpus(), ranks, threadsPerRank(this.#setup));
    const cpus = shares?.slice(index * worldSize, (index + 1) * worldSize);
    if (cpus !== undefined) {
      const places = cpus.map((share) => share.join(',')).join(' | ');
      this.#observer.detail(`${this.#prefix(index)}CPUs of the ranks: ${places}`);
    }
    const running = new Interruption(signal);
    const options = this.#options(index, cpus, running);
    return new RunningGroup(RankGroup.begin<NamedJob, unknown>(options), running);
  }

  #options(index: number, cpus: LaunchOptions['cpus'], { signal }: Interruption): LaunchOptions {
    const { commTimeout = 60 } = this.#setup;
    return {
      worldSize: ranksPerGroup(this.#setup),
      entry: rankEntry,
      cpus,
      timeout: commTimeout * 1000,
      interruption: signal,
      log: (rank, line) => this.#observer.detail(`${this.#prefix(index)}rank ${rank}: ${line}`),
    };
  }

  #prefix(index: number): string {
    return this.#setup.dataParallel === undefined ? '' : `group ${index}, `;
  }
}

class RunningGroup {
  /** Nobody has asked for it yet. */
  isNew = true;

  constructor(
    readonly ranks: Ranks,
    private readonly interruption: Interruption,
  ) {}

  /** Ends the ranks when `signal` is aborted, instead of the one before. */
  follow(signal: AbortSignal): void {
    this.interruption.follow(signal);
  }
}

/** What ends a group: the signal of the call that it works on. */
class Interruption {
  readonly #controller = new AbortController();
  #followed: AbortSignal | undefined;

  constructor(signal: AbortSignal) {
    this.follow(signal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  follow(signal: AbortSignal): void {
    this.#followed?.removeEventListener('abort', this.#abort);
    this.#followed = signal;
    signal.addEventListener('abort', this.#abort, { once: true });
    if (signal.aborted) this.#abort();
  }

  readonly #abort = (): void => {
    const reason: unknown = this.#followed?.reason;
    this.#controller.abort(
      reason instanceof DistriError
        ? reason
        : new DistriError('interrupted', 'The call was aborted', { cause: reason }),
    );
  };
}
