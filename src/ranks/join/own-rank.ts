import { loadAddon } from '../../engine/load.js';
import { type RankEvents, RankLink } from '../group/rank-link.js';
import type { ToRank } from '../messages.js';
import { closeRunMemory, type RunMemory } from '../run-memory.js';
import { type JobFunction, Rank } from '../serve.js';

/** The first rank of a launched job: it works in the process that also watches the others. */
export class OwnRank<Job, Result> extends RankLink<Job, Result> {
  private server: Rank<Job, Result> | undefined;
  private working = false;

  /** Takes the memory and closes it at the end. */
  constructor(
    private readonly run: JobFunction<Job, Result>,
    private readonly memory: RunMemory,
    events: RankEvents<Job, Result>,
  ) {
    super(0, events);
  }

  get pid(): number {
    return process.pid;
  }

  get running(): boolean {
    return true;
  }

  /** What the rank says arrives later, as from another process. */
  send(message: ToRank<Job>): void {
    if (message.type === 'start') {
      this.server = new Rank({ ...message, memory: this.memory }, this.run, (said) => {
        if (said.type === 'result' || said.type === 'refused' || said.type === 'error') this.working = false;
        setImmediate(() => this.receive(said));
      });
    } else {
      this.working = true;
      void this.server?.work(message.job);
    }
  }

  disconnect(): void {
    this.server?.dispose();
    this.server = undefined;
    closeRunMemory(this.memory);
    this.leave();
  }

  /** The process has its last words to say; when it ends, a step in progress must not hold it. */
  kill(): void {
    if (this.working) process.once('exit', (status) => loadAddon().exitNow(status));
    this.silence();
    this.leave();
  }
}
