import { DistriError } from '../../base/errors.js';
import { systemErrorCode } from '../../base/file-io.js';

/** Whoever read the output is gone: nobody misses what is not written any more. */
const readerGone: ReadonlySet<string | undefined> = new Set(['EPIPE', 'EIO', 'ECONNRESET', 'ENXIO']);

/** Keeps failures to write to stdout and stderr from ending the process, and knows of them. */
export class Streams {
  #failure: DistriError | undefined;

  constructor() {
    for (const [stream, name] of [
      [process.stdout, 'standard output'],
      [process.stderr, 'standard error'],
    ] as const) {
      stream.on('error', (error) => {
        if (readerGone.has(systemErrorCode(error))) return;
        this.#failure ??= new DistriError('output', `${name}: cannot be written: ${error.message}`);
      });
    }
  }

  /** Resolves when all that was printed is with its reader or lost; process.exit does not wait for it. */
  async flushed(): Promise<void> {
    const streams = [process.stdout, process.stderr];
    await Promise.all(
      streams.map((stream) => new Promise<void>((resolve) => stream.write('', () => resolve()))),
    );
  }

  /** That something could not be written though somebody waits for it: a full disk. */
  get failure(): DistriError | undefined {
    return this.#failure;
  }
}
