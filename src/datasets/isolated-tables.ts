import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { atExit } from '../base/at-exit.js';
import { DistriError, toError } from '../base/errors.js';
import { requireFile } from '../base/file-io.js';
import { bytesText, secondsText, sum } from '../base/numbers.js';
import { type CaptionDataset, datasetError, type ImageReader, type StoredImage } from './caption-dataset.js';
import type { TableAnswers, TableFiles, TableQuestions, TableReply } from './table-messages.js';

/** What reading a table may take. */
interface Limits {
  /** Of memory. */
  readonly bytes: number;
  /** For one answer. */
  readonly milliseconds: number;
}

/** For files of no size; twice a file's own bytes and a second for 10 MB of it are added. */
const usualLimits: Limits = { bytes: 2e9, milliseconds: 10_000 };

const WATCH_MS = 50;

/**
 * The data set in tables of Arrow's or Parquet's format, read by a process of its own: a damaged file of a
 * kilobyte makes the libraries for these formats loop, or allocate until their process ends. What takes more
 * than `limits` is taken to be one.
 */
export async function openIsolatedTables(
  files: TableFiles,
  limits: Limits = usualLimits,
): Promise<CaptionDataset> {
  const tables = await TableProcess.start(files, limits);
  try {
    const images = await tables.ask('open', files);
    return { name: files.name, images, openImages: () => IsolatedImages.open(files, limits) };
  } finally {
    tables.end();
  }
}

class IsolatedImages implements ImageReader {
  private constructor(private readonly tables: TableProcess) {}

  static async open(files: TableFiles, limits: Limits): Promise<IsolatedImages> {
    const tables = await TableProcess.start(files, limits);
    await tables.ask('open', files);
    return new IsolatedImages(tables);
  }

  async check(count: number): Promise<void> {
    await this.tables.ask('check', { count });
  }

  read(index: number): Promise<StoredImage> {
    return this.tables.ask('read', { index });
  }

  async close(): Promise<void> {
    this.tables.end();
  }
}

/** The process that reads tables. After a failure there is none. */
class TableProcess {
  private readonly forget = atExit(() => this.child.kill('SIGKILL'));

  private constructor(
    private readonly name: string,
    private readonly child: ChildProcess,
    private readonly limits: Limits,
  ) {
    // While nothing is asked it keeps nobody from ending.
    child.unref();
    child.channel?.unref();
  }

  static async start({ paths, name }: TableFiles, { bytes, milliseconds }: Limits): Promise<TableProcess> {
    const size = sum(await Promise.all(paths.map(fileSize)));
    const child = fork(fileURLToPath(new URL('./table-process.js', import.meta.url)), {
      execArgv: [`--max-old-space-size=${Math.floor(bytes / 1e6)}`],
      serialization: 'advanced',
      // What the engine says when it runs out of memory is no message for people.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    return new TableProcess(name, child, {
      bytes: bytes + 2 * size,
      milliseconds: milliseconds + size / 10_000,
    });
  }

  async ask<K extends keyof TableQuestions>(kind: K, details: TableQuestions[K]): Promise<TableAnswers[K]> {
    const { child } = this;
    if (child.killed || child.exitCode !== null) throw new Error('no process reads the tables');
    const answered = new AbortController();
    const watch = new Watch(child, this.limits);
    child.channel?.ref();
    try {
      const { signal } = answered;
      const reply = Promise.race([
        once(child, 'message', { signal }).then(([message]) => message as TableReply),
        once(child, 'exit', { signal }).then(() => {
          throw new Error(watch.exceeded ?? 'reading its tables ended the process that does');
        }),
      ]);
      child.send({ kind, details });
      return answerOf(await reply) as TableAnswers[K];
    } catch (error) {
      if (error instanceof DistriError) throw error;
      throw datasetError(this.name, `damaged: ${toError(error).message}`, error);
    } finally {
      answered.abort();
      watch.stop();
      child.channel?.unref();
    }
  }

  end(): void {
    this.forget();
    this.child.kill('SIGKILL');
  }
}

function answerOf(reply: TableReply): TableAnswers[keyof TableAnswers] {
  if ('error' in reply) throw new DistriError(reply.error.code, reply.error.message);
  return reply.value;
}

/** Ends a process that takes more than it may. */
class Watch {
  /** What that was. */
  exceeded: string | undefined;
  private readonly timer: NodeJS.Timeout;

  constructor(child: ChildProcess, { bytes, milliseconds }: Limits) {
    const deadline = performance.now() + milliseconds;
    this.timer = setInterval(() => {
      if (performance.now() > deadline)
        this.exceeded = `reading its tables took more than ${secondsText(milliseconds / 1000)}`;
      else if (residentBytes(child.pid) > bytes)
        this.exceeded = `reading its tables took more than ${bytesText(bytes)} of memory`;
      if (this.exceeded !== undefined) child.kill('SIGKILL');
    }, WATCH_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

async function fileSize(path: string): Promise<number> {
  await requireFile(path, 'dataset');
  return (await stat(path)).size;
}

/** 0 for a process that has ended. */
function residentBytes(pid: number | undefined): number {
  try {
    const [, pages] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ');
    return 4096 * Number(pages);
  } catch {
    return 0;
  }
}
