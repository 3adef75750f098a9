import type { Addon, ControlBlock } from '../native/addon.js';
import { loadAddon } from '../native/load.js';
import type { ProgressListener } from '../pipelines/request.js';
import { toError } from './errors.js';
import {
  CONTROL_DESCRIPTOR,
  FIRST_SEGMENT_DESCRIPTOR,
  type FromRank,
  reportError,
  type ToRank,
} from './messages.js';
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
    if (order.type === 'start') rank = new Rank(addon, order, run);
    else rank?.work(order.job);
  });
}

type StartOrder = Extract<ToRank<unknown>, { type: 'start' }>;

class Rank<Job, Result> implements RankContext {
  readonly rank: number;
  readonly worldSize: number;
  private readonly control: ControlBlock;
  private generation = 0;

  constructor(
    private readonly addon: Addon,
    private readonly order: StartOrder,
    private readonly run: JobFunction<Job, Result>,
  ) {
    this.rank = order.rank;
    this.worldSize = order.worldSize;
    process.title = `distri rank ${this.rank} of ${this.worldSize}`;
    this.control = new addon.ControlBlock(CONTROL_DESCRIPTOR, this.worldSize);
    this.control.beat(this.rank);
    setInterval(() => this.control.beat(this.rank), HEARTBEAT_MS);
    send({ type: 'ready' });
  }

  async connect(slotBytes: readonly (readonly number[])[]) {
    this.generation += 1;
    const communicator = new this.addon.Communicator({
      rank: this.rank,
      worldSize: this.worldSize,
      controlFd: CONTROL_DESCRIPTOR,
      segmentFds: Array.from({ length: this.worldSize }, (_, rank) => FIRST_SEGMENT_DESCRIPTOR + rank),
      slotBytes,
      timeout: this.order.timeout,
      generation: this.generation,
    });
    await communicator.connect();
    return communicator;
  }

  async work(job: Job): Promise<void> {
    try {
      send({ type: 'result', result: await this.run(job, this, progressSender) });
    } catch (thrown) {
      this.control.abort(this.rank);
      send({ type: 'error', error: reportError(toError(thrown)) });
    }
  }
}

const progressSender: ProgressListener = {
  phase: (name, event) => send({ type: 'phase', name, event }),
  step: (step, steps) => send({ type: 'step', step, steps }),
};

function send(message: FromRank<unknown>): void {
  process.send?.(message);
}
