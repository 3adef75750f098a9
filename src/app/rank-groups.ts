import { DistriError } from '../base/errors.js';
import { type NamedJob, type Ranks, rankEntry } from '../jobs/jobs.js';
import { availableCpus, shareCpus } from '../machine/cpus.js';
import { RankGroup } from '../ranks/group/rank-group.js';
import type { Meeting } from '../ranks/join/meeting.js';
import type { Observer } from './observer.js';
import type { SetupOptions } from './options.js';
import { defaultRanks, ranksPerGroup } from './setup.js';

/** Processes that a launcher started, instead of distri. */
export type LaunchedRanks = Meeting<NamedJob, unknown>;

/**
 * The groups of ranks of a pipeline: each is started when it is first needed, and again when it has failed.
 */
export class RankGroups {
  readonly #setup: SetupOptions;
  readonly #threads: number;
  readonly #observer: Observer;
  readonly #launched: LaunchedRanks | undefined;
  readonly #groups = new Map<number, RunningGroup>();
  /** Those that are being started, or could not be. */
  readonly #failed = new Set<number>();

  constructor(setup: SetupOptions, threads: number, observer: Observer, launched: LaunchedRanks | undefined) {
    this.#setup = setup;
    this.#threads = threads;
    this.#observer = observer;
    this.#launched = launched;
  }

  /**
   * The ranks of group `index`, ready for a job. When `signal` is aborted they end, and what they do fails;
   * the next call starts others.
   */
  async group(index: number, signal: AbortSignal): Promise<Ranks> {
    const running = this.#groups.get(index);
    if (running && !running.ranks.failed) {
      running.follow(signal);
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
    const { ranks: total = defaultRanks(), dataParallel, commTimeout = 60 } = this.#setup;
    const worldSize = ranksPerGroup(this.#setup);
    const launched = this.#launched;
    // Launchers place their processes themselves.
    const shares = launched === undefined ? shareCpus(availableCpus(), total, this.#threads) : undefined;
    const cpus = shares?.slice(index * worldSize, (index + 1) * worldSize);
    const name = dataParallel === undefined ? '' : `group ${index}, `;
    if (cpus !== undefined) {
      this.#observer.detail(`${name}CPUs of the ranks: ${cpus.map((share) => share.join(',')).join(' | ')}`);
    }
    const running = new Interruption();
    running.follow(signal);
    const ranks = await RankGroup.launch<NamedJob, unknown>(
      {
        worldSize,
        entry: rankEntry,
        cpus,
        timeout: commTimeout * 1000,
        interruption: running.signal,
        log: (rank, line) => this.#observer.detail(`${name}rank ${rank}: ${line}`),
      },
      launched,
    );
    return { ranks, follow: (next) => running.follow(next) };
  }
}

interface RunningGroup {
  readonly ranks: Ranks;
  /** Ends the ranks when `signal` is aborted, instead of the one before. */
  follow(signal: AbortSignal): void;
}

/** What ends a group: the signal of the call that it works on. */
class Interruption {
  readonly #controller = new AbortController();
  #followed: AbortSignal | undefined;

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
