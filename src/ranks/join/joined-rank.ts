import { type RankEvents, RankLink } from '../group/rank-link.js';
import { killProcess } from '../kill-process.js';
import type { FromRank, ToRank } from '../messages.js';
import type { RunMemory } from '../run-memory.js';
import type { FromJoined, Hello, ToJoined } from './join-messages.js';
import type { MessageSocket } from './message-socket.js';

/** How long a rank may take to end by itself when it is told to. */
const LEAVE_MS = 200;

/** The first rank's end of the connection to a process that a launcher started. */
export type Guest<Job, Result> = MessageSocket<FromJoined<Result>, ToJoined<Job>>;

/**
 * A rank that a launcher started, seen from the first rank. Its process can't be waited for; its connection
 * ends with it.
 */
export class JoinedRank<Job, Result> extends RankLink<Job, Result> {
  private released = false;

  constructor(
    private readonly hello: Hello,
    private readonly guest: Guest<Job, Result>,
    private readonly memory: RunMemory,
    events: RankEvents<Job, Result>,
  ) {
    super(hello.rank, events);
    guest.onMessage((message) => this.receive(message as FromRank<Result>));
    guest.onClose(() => this.closed());
    if (!guest.open) queueMicrotask(() => this.closed());
  }

  get pid(): number {
    return this.hello.pid;
  }

  get running(): boolean {
    return this.guest.open;
  }

  send(message: ToRank<Job>): void {
    const place = { pid: process.pid, memory: this.memory };
    this.guest.send(message.type === 'start' ? { ...message, ...place } : message);
  }

  disconnect(): void {
    this.end(0);
  }

  /**
   * With a signal only when it does not end by itself: launchers report signals, next to the first rank's
   * message.
   */
  kill(status: number): void {
    if (!this.running) return;
    if (!this.released) this.end(status);
    const timer = setTimeout(() => {
      // While the connection is open the process lives, or just ended, so the number is no other's.
      if (this.running) killProcess(this.pid);
    }, LEAVE_MS);
    this.guest.onClose(() => clearTimeout(timer));
  }

  private end(status: number): void {
    this.released = true;
    this.guest.send({ type: 'end', status });
  }

  private closed(): void {
    const { failure } = this.guest;
    const how =
      failure === undefined
        ? `was killed or ended ${this.activity}`
        : `broke off ${this.activity}: ${failure}`;
    if (!this.released) this.events.lost(this, how);
    this.silence();
    this.leave();
  }
}
