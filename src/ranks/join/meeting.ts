import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { DistriError, exitStatus } from '../../base/errors.js';
import { watchInterruption } from '../../base/interruption.js';
import { availableCpus, type Cpus, uniteCpus } from '../../machine/cpus.js';
import type { RankEvents, RankLink } from '../group/rank-link.js';
import type { RunMemory } from '../run-memory.js';
import type { JobFunction } from '../serve.js';
import { type FromJoined, type Hello, hello } from './join-messages.js';
import { type Guest, JoinedRank } from './joined-rank.js';
import type { LaunchedRank } from './launched-rank.js';
import { MeetingPlace } from './meeting-place.js';
import { MessageSocket } from './message-socket.js';
import { OwnRank } from './own-rank.js';

/** How much later than the first rank the others may start. */
export const GATHERING_MS = 30_000;
/**
 * When all is over: how long the first rank still waits for those on their way, and how long the others may
 * take to notice.
 */
const LATECOMERS_MS = 5000;
const FAREWELL_MS = 500;

/**
 * The first rank's side of a job whose processes torchrun, mpirun or srun started: the others come to it, and
 * with them it makes a RankGroup. Shared memory is opened through /proc/<pid>/fd, which the kernel allows the
 * same user: Node can't pass descriptors over a socket, and a native helper for it would be one more thing
 * that can fail.
 */
export class Meeting<Job, Result> {
  /** Settles when all have come; rejects when they do not in time. */
  readonly complete: Promise<void>;
  private readonly place: MeetingPlace;
  private readonly server: Server;
  private readonly guests = new Map<number, { hello: Hello; guest: Guest<Job, Result> }>();
  private arrived: () => void = () => {};
  private failed: (error: DistriError) => void = () => {};

  static async open<Job, Result>(
    launched: LaunchedRank,
    run: JobFunction<Job, Result>,
  ): Promise<Meeting<Job, Result>> {
    const meeting = new Meeting(launched, run);
    process.on('exit', meeting.leavePlace);
    const other = meeting.worldSize > 1 ? await meeting.place.open(meeting.server) : undefined;
    if (other === undefined) return meeting;
    process.off('exit', meeting.leavePlace);
    // It says who it is, so that the one that is there does not wait for ranks that will not come.
    new MessageSocket<never, Hello>(other).send(hello(0));
    other.end();
    throw meeting.twice(0);
  }

  private constructor(
    private readonly launched: LaunchedRank,
    private readonly run: JobFunction<Job, Result>,
  ) {
    this.place = new MeetingPlace(launched);
    this.server = createServer((socket) => this.welcome(socket));
    this.complete = this.gather();
    // Nobody may be waiting yet; who asks later is told.
    this.complete.catch(() => {});
  }

  get worldSize(): number {
    return this.launched.worldSize;
  }

  /** Who started the processes. */
  get launcher(): string {
    return this.launched.launcher;
  }

  /** What all processes together may use, once all have come: launchers may have given each its own CPUs. */
  async cpus(): Promise<Cpus> {
    await this.complete;
    return uniteCpus(
      availableCpus(),
      [...this.guests.values()].map(({ hello }) => hello.cpus),
    );
  }

  /** The link to `rank` over this shared memory, once all have come. */
  link(rank: number, memory: RunMemory, events: RankEvents<Job, Result>): RankLink<Job, Result> {
    if (rank === 0) return new OwnRank(this.run, memory, events);
    const met = this.guests.get(rank);
    if (met === undefined) throw new Error(`rank ${rank} has not come`);
    return new JoinedRank(met.hello, met.guest, memory, events);
  }

  /** Sends everybody home with this exit status, also those who are still on their way. */
  async close(status: number): Promise<void> {
    // Launchers end all processes when one is gone; the place is left in order all the same.
    const { signal, dispose } = watchInterruption();
    const soon = (milliseconds: number) => delay(milliseconds, undefined, { signal }).catch(() => {});
    await Promise.race([this.complete.catch(() => {}), soon(LATECOMERS_MS)]);
    const open = [...this.guests.values()].filter(({ guest }) => guest.open);
    const gone = open.map(({ guest }) => new Promise<void>((resolve) => guest.onClose(resolve)));
    for (const { guest } of open) guest.send({ type: 'end', status });
    await Promise.race([Promise.all(gone), soon(FAREWELL_MS)]);
    this.leavePlace();
    process.off('exit', this.leavePlace);
    dispose();
  }

  private async gather(): Promise<void> {
    const everybody = new Promise<void>((resolve, reject) => {
      this.arrived = resolve;
      this.failed = reject;
    });
    if (this.worldSize === 1) this.arrived();
    const late = new AbortController();
    const deadline = delay(GATHERING_MS, 'late', { signal: late.signal, ref: false });
    deadline.catch(() => {});
    try {
      const first = await Promise.race([everybody, deadline]);
      if (first === 'late') throw this.absence();
    } finally {
      late.abort();
    }
    this.leavePlace();
  }

  private absence(): DistriError {
    const { launcher, worldSize } = this.launched;
    return new DistriError(
      'rank',
      `Only ${1 + this.guests.size} of ${worldSize} ranks started by ${launcher} came within ${GATHERING_MS / 1000} s. ` +
        'If nothing started them, DISTRI_LAUNCHER=none makes distri start ranks itself',
    );
  }

  private welcome(socket: Socket): void {
    const guest: Guest<Job, Result> = new MessageSocket(socket);
    guest.onMessage((message) => this.register(message, guest));
  }

  private register(message: FromJoined<Result>, guest: Guest<Job, Result>): void {
    if (message.type !== 'hello') return;
    const { rank, pid } = message;
    const known = this.guests.get(rank);
    if (rank === 0 || known?.guest.open) {
      // The job lacks another rank then, for which nobody has to wait.
      guest.send({ type: 'end', status: exitStatus.usage });
      this.failed(this.twice(rank, known?.hello.pid ?? process.pid, pid));
      return;
    }
    if (rank > 0 && rank < this.worldSize) this.guests.set(rank, { hello: message, guest });
    else guest.destroy();
    if (this.guests.size === this.worldSize - 1) this.arrived();
  }

  private twice(rank: number, ...pids: readonly number[]): DistriError {
    const processes = pids.length > 0 ? ` (processes ${pids.join(' and ')})` : '';
    return new DistriError(
      'usage',
      `Two processes started by ${this.launched.launcher} came as rank ${rank} of ${this.worldSize}${processes}: ` +
        'each needs a rank of its own, and each job that runs at the same time a name of its own',
    );
  }

  private readonly leavePlace = (): void => {
    this.server.close();
    this.place.remove();
  };
}
