import { toError } from '../base/errors.js';
import type { Communicator, Liveness, SlotSpec } from '../engine/addon.js';
import { loadAddon } from '../engine/load.js';
import { availableMemory } from '../machine/memory.js';
import { type Channel, channels } from './channels.js';
import { FIRST_DESCRIPTOR, type FromRank, reportError, type ToRank } from './messages.js';
import type { ProgressListener } from './progress.js';
import type { RankContext } from './rank-context.js';
import { Refusal } from './refusal.js';
import { type RunMemory, runMemorySize, runOptions, segmentsOf } from './run-memory.js';

const HEARTBEAT_MS = 250;

/** What every rank does with a job. Throws a Refusal where the ranks shall stay. */
export type JobFunction<Job, Result> = (
  job: Job,
  context: RankContext,
  listener: ProgressListener,
) => Promise<Result>;

/**
 * Makes this process a rank: it runs the jobs that its parent sends, one after another, until the parent is
 * gone.
 */
export function serveJobs<Job, Result>(run: JobFunction<Job, Result>): void {
  // The terminal sends these to parent and ranks alike; the parent decides.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (thrown: unknown) => send({ type: 'error', error: reportError(toError(thrown)) }));
  }
  const addon = loadAddon();
  // Not process.exit, which would wait for a step in progress.
  process.on('disconnect', () => addon.exitNow(0));

  let rank: Rank<Job, Result> | undefined;
  process.on('message', (message) => {
    const order = message as ToRank<Job>;
    if (order.type === 'start') {
      const length = runMemorySize(order.worldSize);
      const memory = Array.from({ length }, (_, index) => FIRST_DESCRIPTOR + index);
      rank = new Rank({ ...order, memory }, run, send);
    } else {
      void rank?.work(order.job);
    }
  });
}

export interface RankOptions extends Omit<Extract<ToRank<unknown>, { type: 'start' }>, 'type'> {
  readonly memory: RunMemory;
}

/** A rank in this process. What it has to say goes to `send`. */
export class Rank<Job, Result> implements RankContext {
  readonly rank: number;
  readonly worldSize: number;
  readonly liveness: Liveness;
  private readonly addon = loadAddon();
  private readonly heartbeat: NodeJS.Timeout;
  /** How many communicators there were, by channel. */
  private readonly generations = new Map<Channel, number>();

  constructor(
    private readonly options: RankOptions,
    private readonly run: JobFunction<Job, Result>,
    private readonly send: (message: FromRank<Result>) => void,
  ) {
    this.rank = options.rank;
    this.worldSize = options.worldSize;
    process.title = `distri rank ${this.rank} of ${this.worldSize}`;
    this.liveness = new this.addon.Liveness(runOptions(options.memory, this.worldSize));
    this.liveness.beat(this.rank);
    this.heartbeat = setInterval(() => this.liveness.beat(this.rank), HEARTBEAT_MS);
    send({ type: 'ready' });
  }

  async connect(channel: Channel, slots: readonly SlotSpec[]): Promise<Communicator> {
    const { memory, timeout } = this.options;
    const generation = 1 + (this.generations.get(channel) ?? 0);
    this.generations.set(channel, generation);
    const communicator = new this.addon.Communicator({
      ...runOptions(memory, this.worldSize),
      rank: this.rank,
      channel: channels.indexOf(channel),
      segmentFds: segmentsOf(memory, this.worldSize, channel),
      slots,
      headroom: availableMemory(),
      timeout,
      generation,
    });
    await communicator.connect();
    return communicator;
  }

  async work(job: Job): Promise<void> {
    try {
      this.send({ type: 'result', result: await this.run(job, this, this.progress) });
    } catch (thrown) {
      if (thrown instanceof Refusal) {
        this.send({ type: 'refused', error: reportError(thrown.reason) });
        return;
      }
      this.liveness.abort(this.rank);
      this.send({ type: 'error', error: reportError(toError(thrown)) });
    }
  }

  readonly noteOnce = (topic: string, line: string): void => this.send({ type: 'note', line, topic });

  /** Stops saying that the rank is alive. */
  dispose(): void {
    clearInterval(this.heartbeat);
  }

  private readonly progress: ProgressListener = {
    phase: (name, event) => this.send({ type: 'phase', name, event }),
    step: (step, steps, latents) => this.send({ type: 'step', step, steps, ...(latents ? { latents } : {}) }),
    note: (line) => this.send({ type: 'note', line }),
    place: (where) => this.send({ type: 'place', where }),
  };
}

function send(message: FromRank<unknown>): void {
  process.send?.(message);
}
