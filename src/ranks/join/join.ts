import { openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { DistriError, exitStatus, toError } from '../../base/errors.js';
import { watchInterruption } from '../../base/interruption.js';
import { secondsText } from '../../base/numbers.js';
import { loadAddon } from '../../engine/load.js';
import { SilenceWatch, STALLED_MS } from '../group/silence-watch.js';
import { killProcess } from '../kill-process.js';
import { reportError } from '../messages.js';
import { type JobFunction, Rank } from '../serve.js';
import { startError } from '../start-error.js';
import { type FromJoined, hello, type ToJoined } from './join-messages.js';
import type { LaunchedRank } from './launched-rank.js';
import { GATHERING_MS } from './meeting.js';
import { MeetingPlace } from './meeting-place.js';
import { MessageSocket } from './message-socket.js';

const RETRY_MS = 25;

/**
 * Makes this process a rank of the job whose first rank is another process on this host; it works until that
 * one tells it to end, or is gone, and then ends the process. Rejects when the first rank does not appear.
 */
export async function joinJob<Job, Result>(
  launched: LaunchedRank,
  run: JobFunction<Job, Result>,
): Promise<never> {
  const connection = await findFirstRank<Job, Result>(launched);
  new Participant(launched, run, connection);
  return new Promise(() => {});
}

type Connection<Job, Result> = MessageSocket<ToJoined<Job>, FromJoined<Result>>;

async function findFirstRank<Job, Result>(launched: LaunchedRank): Promise<Connection<Job, Result>> {
  const place = new MeetingPlace(launched);
  const deadline = performance.now() + GATHERING_MS;
  while (performance.now() < deadline) {
    const socket = await place.enter();
    if (socket !== undefined) return new MessageSocket(socket);
    await delay(RETRY_MS);
  }
  throw new DistriError(
    'rank',
    `Rank 0 of the job started by ${launched.launcher} did not appear within ${GATHERING_MS / 1000} s`,
  );
}

/** A rank that takes its orders over a connection. */
class Participant<Job, Result> {
  private rank: Rank<Job, Result> | undefined;
  private firstRank: number | undefined;
  private timeout = Number.POSITIVE_INFINITY;

  constructor(
    private readonly launched: LaunchedRank,
    private readonly run: JobFunction<Job, Result>,
    private readonly connection: Connection<Job, Result>,
  ) {
    connection.onMessage((order) => this.obey(order));
    connection.onClose(() => this.abandoned());
    // The first rank decides. Launchers ask all processes to end when one died, and the first rank may know
    // which.
    const { signal } = watchInterruption();
    signal.addEventListener('abort', () => this.reportFailure(signal.reason));
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
      process.on(event, (thrown: unknown) => this.reportFailure(thrown));
    }
    connection.send(hello(launched.rank));
  }

  private obey(order: ToJoined<Job>): void {
    if (order.type === 'end') this.exit(order.status);
    else if (order.type === 'start') this.start(order);
    else void this.rank?.work(order.job);
  }

  private start(order: Extract<ToJoined<Job>, { type: 'start' }>): void {
    try {
      const memory = order.memory.map((descriptor) => openSync(`/proc/${order.pid}/fd/${descriptor}`, 'r+'));
      this.firstRank = order.pid;
      this.timeout = order.timeout;
      this.rank = new Rank({ ...order, memory }, this.run, (message) => this.connection.send(message));
      new SilenceWatch(() => this.look());
    } catch (thrown) {
      this.reportFailure(startError(`Rank ${this.launched.rank}`, thrown));
    }
  }

  private reportFailure(thrown: unknown): void {
    this.rank?.liveness.abort(this.launched.rank);
    this.connection.send({ type: 'error', error: reportError(toError(thrown)) });
  }

  /** Milliseconds since the first rank said that it is alive. */
  private get silence(): number {
    return this.rank?.liveness.silence(0) ?? 0;
  }

  /** The first rank watches the others; this is who watches the first rank. */
  private look(): void {
    const liveness = this.rank?.liveness;
    const limit = liveness?.abortedBy() === undefined ? this.timeout : STALLED_MS;
    if (this.silence > limit) this.abandoned();
  }

  /** Ends without the first rank, which is ended too if need be. Of all ranks one says why. */
  private abandoned(): never {
    // A peer may have ended the first rank because it hung.
    const hung = this.silence > STALLED_MS;
    const { failure } = this.connection;
    const ended = failure === undefined ? 'was killed or ended' : `broke off: ${failure}`;
    const silent = `gave no sign of life for ${secondsText(this.silence / 1000)}: it is stopped or hangs`;
    const how = hung ? silent : ended;
    const { rank } = this.launched;
    const liveness = this.rank?.liveness;
    liveness?.abort(rank);
    const speaks = liveness === undefined ? rank === 1 : liveness.abortedBy() === rank;
    const process0 = this.firstRank === undefined ? '' : ` (process ${this.firstRank})`;
    if (speaks) process.stderr.write(`distri: Rank 0${process0} ${how}\n`);
    // While the connection is open the process lives, or just ended, so the number is no other's.
    if (this.connection.open && this.firstRank !== undefined) killProcess(this.firstRank);
    return this.exit(hung ? exitStatus.timeout : exitStatus.rank);
  }

  /** Not process.exit, which would wait for a step in progress. */
  private exit(status: number): never {
    return loadAddon().exitNow(status);
  }
}
