import { DistriError } from '../../base/errors.js';

/** After so many deaths without a task done in between, a lane starts no further worker. */
const MAX_DEATHS = 3;
const MAX_ATTEMPTS = 2;

/** Does one task after another. */
export interface Worker<Task> {
  run(task: Task): Promise<void>;
  /** It can't do any more tasks. */
  readonly dead: boolean;
  close(): Promise<void>;
}

export interface DistributionOptions<Task> {
  readonly tasks: readonly Task[];
  /** How many workers work at the same time. */
  readonly lanes: number;
  /** Starts the next worker of a lane. */
  readonly start: (lane: number) => Promise<Worker<Task>>;
  /** Called for each task that was not done. */
  readonly failed: (task: Task, error: unknown) => void;
  readonly interruption: AbortSignal;
}

/**
 * Hands tasks to whichever worker is free. A task that fails is lost, the others are not: a worker that died
 * is replaced. A task whose worker was killed or hung is tried once more, because that may have had nothing
 * to do with it. Throws only for an interruption.
 */
export async function distribute<Task>(options: DistributionOptions<Task>): Promise<void> {
  const { lanes, failed, interruption } = options;
  const queue = [...options.tasks];
  const lane = (_: unknown, index: number) => new Lane(options, index).work(queue);
  const ends = await Promise.allSettled(Array.from({ length: lanes }, lane));
  interruption.throwIfAborted();
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  for (const task of queue) {
    failed(task, new DistriError('rank', `was not begun: ranks failed ${MAX_DEATHS} times in a row`));
  }
}

/** One worker at a time. */
class Lane<Task> {
  private worker: Worker<Task> | undefined;
  private deaths = 0;

  constructor(
    private readonly options: DistributionOptions<Task>,
    private readonly index: number,
  ) {}

  async work(queue: Task[]): Promise<void> {
    try {
      while (this.deaths < MAX_DEATHS && !this.options.interruption.aborted) {
        const task = queue.shift();
        if (task === undefined) return;
        await this.attempt(task);
      }
    } finally {
      await this.worker?.close();
    }
  }

  private async attempt(task: Task): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await (await this.livingWorker()).run(task);
        this.deaths = 0;
        return;
      } catch (error) {
        const died = this.worker === undefined || this.worker.dead;
        if (died) this.deaths += 1;
        const again = died && isChance(error) && attempt < MAX_ATTEMPTS && this.deaths < MAX_DEATHS;
        if (this.options.interruption.aborted) return;
        if (!again) {
          this.options.failed(task, error);
          return;
        }
      }
    }
  }

  /** A worker may have died since its last task. */
  private async livingWorker(): Promise<Worker<Task>> {
    if (this.worker?.dead) {
      await this.worker.close();
      this.worker = undefined;
    }
    this.worker ??= await this.options.start(this.index);
    return this.worker;
  }
}

/** A process was killed, or hung: another time it may not be. */
function isChance(error: unknown): boolean {
  return error instanceof DistriError && (error.code === 'rank' || error.code === 'timeout');
}
