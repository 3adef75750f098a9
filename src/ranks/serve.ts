import { toError } from '../base/errors.js';
import type { ControlBlock } from '../engine/addon.js';
import { loadAddon } from '../engine/load.js';
import { FIRST_DESCRIPTOR, type FromRank, reportError, type ToRank } from './messages.js';
import type { ProgressListener } from './progress.js';
import type { RankContext } from './rank-context.js';

const HEARTBEAT_MS = 250;

/** What every rank does with a job. */
export type JobFunction<Job, Result> = (
  job: Job,
  context: RankContext,
  listener: ProgressListener,
) => Promise<Result>;

/** Makes this process a rank: it runs the jobs that its parent sends, one after another, until the parent is gone. */
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
      const descriptors = Array.from({ length: 1 + order.worldSize }, (_, index) => FIRST_DESCRIPTOR + index);
      rank = new Rank({ ...order, descriptors }, run, send);
    } else {
      void rank?.work(order.job);
    }
  });
}

export interface RankOptions extends Omit<Extract<ToRank<unknown>, { type: 'start' }>, 'type'> {
  /** Of the control block, then of every rank's segment. */
  readonly descriptors: readonly number[];
}

/** A rank in this process. What it has to say goes to `send`. */
export class Rank<Job, Result> implements RankContext {
  readonly rank: number;
  readonly worldSize: number;
  readonly control: ControlBlock;
  private readonly addon = loadAddon();
  private readonly heartbeat: NodeJS.Timeout;
  private generation = 0;

  constructor(
    private readonly options: RankOptions,
    private readonly run: JobFunction<Job, Result>,
    private readonly send: (message: FromRank<Result>) => void,
  ) {
    this.rank = options.rank;
    this.worldSize = options.worldSize;
    process.title = `distri rank ${this.rank} of ${this.worldSize}`;
    this.control = new this.addon.ControlBlock(this.controlDescriptor, this.worldSize);
    this.control.beat(this.rank);
    this.heartbeat = setInterval(() => this.control.beat(this.rank), HEARTBEAT_MS);
    send({ type: 'ready' });
  }

  async connect(slotBytes: readonly (readonly number[])[]) {
    this.generation += 1;
    const communicator = new this.addon.Communicator({
      rank: this.rank,
      worldSize: this.worldSize,
      controlFd: this.controlDescriptor,
      segmentFds: this.options.descriptors.slice(1),
      slotBytes,
      timeout: this.options.timeout,
      generation: this.generation,
    });
    await communicator.connect();
    return communicator;
  }

  async work(job: Job): Promise<void> {
    try {
      this.send({ type: 'result', result: await this.run(job, this, this.progress) });
    } catch (thrown) {
      this.control.abort(this.rank);
      this.send({ type: 'error', error: reportError(toError(thrown)) });
    }
  }

  /** Stops saying that the rank is alive. */
  dispose(): void {
    clearInterval(this.heartbeat);
  }

  private get controlDescriptor(): number {
    return this.options.descriptors[0] as number;
  }

  private readonly progress: ProgressListener = {
    phase: (name, event) => this.send({ type: 'phase', name, event }),
    step: (step, steps, latents) =>
      this.send({ type: 'step', step, steps, ...(latents ? { latents } : {}) }),
    note: (line) => this.send({ type: 'note', line }),
    place: (where) => this.send({ type: 'place', where }),
  };
}

function send(message: FromRank<unknown>): void {
  process.send?.(message);
}
