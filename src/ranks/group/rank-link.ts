import type { FromRank, RankProgress, ToRank } from '../messages.js';
import { phases } from '../progress.js';

/** Calls that a rank causes, each with the rank as first argument. */
export interface RankEvents<Job, Result> {
  message(rank: RankLink<Job, Result>, message: FromRank<Result>): void;
  /** The process ended by itself or by somebody else's signal; not called after `kill` or `disconnect`. */
  lost(rank: RankLink<Job, Result>, how: string): void;
  /** The process could not be started. */
  failed(rank: RankLink<Job, Result>, error: Error): void;
}

/** One rank as the group sees it, wherever it runs: what it is told, what it says, and how it ends. */
export abstract class RankLink<Job, Result> {
  readonly startedAt = performance.now();
  /** Settles when the process is gone. */
  readonly gone: Promise<void>;
  /** Settles when nothing more is to be expected from it: it reported an error or is gone. */
  readonly silenced: Promise<void>;
  /** Says when it failed: "in step 3 of 50". */
  private currentActivity = 'while starting';
  protected silence: () => void = () => {};
  protected leave: () => void = () => {};

  constructor(
    readonly rank: number,
    protected readonly events: RankEvents<Job, Result>,
  ) {
    this.silenced = new Promise((resolve) => {
      this.silence = resolve;
    });
    this.gone = new Promise((resolve) => {
      this.leave = resolve;
    });
  }

  abstract get pid(): number | undefined;
  abstract get running(): boolean;
  abstract send(message: ToRank<Job>): void;
  /** Lets the rank end in order. */
  abstract disconnect(): void;
  /** Ends the rank at once, with this exit status where it can still choose one. */
  abstract kill(status: number): void;

  get activity(): string {
    return this.currentActivity;
  }

  protected receive(message: FromRank<Result>): void {
    if (message.type === 'place') this.currentActivity = message.where;
    else if (message.type === 'phase' || message.type === 'step')
      this.currentActivity = describeProgress(message);
    else if (message.type === 'error') this.silence();
    else if (message.type !== 'note') this.currentActivity = 'between jobs';
    this.events.message(this, message);
  }
}

function describeProgress(progress: Extract<RankProgress, { type: 'phase' | 'step' }>): string {
  if (progress.type === 'phase') {
    return progress.event === 'start' ? phases[progress.name].when : `after ${progress.name}`;
  }
  const { step, steps } = progress;
  return step + 1 < steps ? `in step ${step + 2} of ${steps}` : `after step ${steps} of ${steps}`;
}
