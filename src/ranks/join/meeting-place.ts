import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { connect, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { DistriError } from '../../base/errors.js';
import { systemErrorCode } from '../../base/file-io.js';
import type { LaunchedRank } from './launched-rank.js';

/** Not TMPDIR, which some sites set differently for each process. */
const ROOT = '/tmp';

/**
 * Where the processes of a job find their first rank: a socket in a folder that only this user may enter, so that nobody else can
 * take part. The folder's name follows from the job, and it is there only until all have met.
 */
export class MeetingPlace {
  readonly folder: string;

  constructor({ job, worldSize }: LaunchedRank) {
    const digest = createHash('sha256').update(`${job} ${worldSize}`).digest('hex').slice(0, 16);
    this.folder = join(ROOT, `distri-${process.getuid?.()}-${digest}`);
  }

  /** Lets `server` listen here, for the first rank. */
  async open(server: Server): Promise<void> {
    await this.removeAbandoned();
    try {
      mkdirSync(this.folder, { mode: 0o700 });
    } catch (error) {
      throw new DistriError('rank', `${this.folder}: the ranks can't meet here`, { cause: error });
    }
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.socket, resolve);
    });
  }

  /** A connection to the first rank, undefined while it does not listen. */
  async enter(): Promise<Socket | undefined> {
    return this.isOurs() ? attempt(this.socket) : undefined;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private get socket(): string {
    return join(this.folder, 'first-rank');
  }

  /** Removes what a first rank left that was killed before all had met. */
  private async removeAbandoned(): Promise<void> {
    if (!existsSync(this.folder) || !this.isOurs()) return;
    const connection = await attempt(this.socket);
    if (connection === undefined) {
      this.remove();
    } else {
      connection.destroy();
      throw new DistriError('usage', 'Another first rank of this job is waiting for its ranks already');
    }
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
