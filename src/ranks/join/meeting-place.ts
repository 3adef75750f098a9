import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { connect, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DistriError } from '../../base/errors.js';
import { systemErrorCode } from '../../base/file-io.js';
import type { LaunchedRank } from './launched-rank.js';

/** Not TMPDIR, which some sites set differently for each process. */
const ROOT = '/tmp';

/** How long a first rank that made the folder may take to listen. */
const OPENING_MS = 2000;
const RETRY_MS = 25;

/**
 * Where the processes of a job find their first rank: a socket in a folder that only this user may enter, so
 * that nobody else can take part. The folder's name follows from the job, and it is there only until all have
 * met.
 */
export class MeetingPlace {
  readonly folder: string;
  /** Identity of the folder that this process made. */
  private made: number | undefined;

  constructor({ job, worldSize }: LaunchedRank) {
    const digest = createHash('sha256').update(`${job} ${worldSize}`).digest('hex').slice(0, 16);
    this.folder = join(ROOT, `distri-${process.getuid?.()}-${digest}`);
  }

  /**
   * Lets `server` listen here, for the first rank. Where another one does already, a connection to that one
   * is returned instead.
   */
  async open(server: Server): Promise<Socket | undefined> {
    for (let made = false; !made; ) {
      const other = await this.findOther();
      if (other !== undefined) return other;
      made = this.make();
    }
    this.made = lstatSync(this.folder).ino;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.socket, resolve);
    });
    return undefined;
  }

  /** A connection to the first rank, undefined while it does not listen. */
  async enter(): Promise<Socket | undefined> {
    return this.isOurs() ? attempt(this.socket) : undefined;
  }

  /** Removes the folder, unless it is another process's by now. */
  remove(): void {
    if (this.made !== undefined && this.identity === this.made)
      rmSync(this.folder, { recursive: true, force: true });
    this.made = undefined;
  }

  private get socket(): string {
    return join(this.folder, 'first-rank');
  }

  /** Makes the folder; false when another process was faster. */
  private make(): boolean {
    try {
      mkdirSync(this.folder, { mode: 0o700 });
      return true;
    } catch (error) {
      if (systemErrorCode(error) === 'EEXIST' && this.isOurs()) return false;
      throw new DistriError('rank', `${this.folder}: the ranks can't meet here`, { cause: error });
    }
  }

  /** A connection to another first rank. What one left that was killed before all had met is removed. */
  private async findOther(): Promise<Socket | undefined> {
    const abandoned = performance.now() + Math.min(OPENING_MS, OPENING_MS - this.age);
    while (existsSync(this.folder) && this.isOurs()) {
      const other = await attempt(this.socket);
      if (other !== undefined) return other;
      if (performance.now() > abandoned) rmSync(this.folder, { recursive: true, force: true });
      else await delay(RETRY_MS);
    }
    return undefined;
  }

  /** Milliseconds since somebody did something in the folder. */
  private get age(): number {
    const changed = lstatSync(this.folder, { throwIfNoEntry: false })?.mtimeMs;
    return changed === undefined ? 0 : Date.now() - changed;
  }

  private get identity(): number | undefined {
    return lstatSync(this.folder, { throwIfNoEntry: false })?.ino;
  }

  /** Whether the folder is there and nobody else can have made or entered it. */
  private isOurs(): boolean {
    try {
      const { uid, mode } = lstatSync(this.folder);
      return uid === process.getuid?.() && (mode & 0o077) === 0;
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return false;
      throw error;
    }
  }
}

/** A connection to `path`, undefined where nobody listens. */
function attempt(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', () => resolve(undefined));
  });
}
