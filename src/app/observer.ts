/** Shows how far something is. */
export interface Progress {
  /**
   * `done` counts what the total that the progress was made with counts; `label` says what is being done,
   * `outlook` how fast, and how long it will still take.
   */
  update(done: number, label: string, outlook?: string): void;
  /** It is over, done or not: nothing is shown any more. */
  stop(): void;
}

/** Who is told what happens: a terminal, a log, or nobody. */
export interface Observer {
  /** Something that users should know. */
  note(line: string): void;
  /** Something for those who want to know more. */
  detail(line: string): void;
  /** Something that takes a while begins; `unit` is what is counted up to `total`, such as steps or MB. */
  progress(total: number, unit: string): Progress;
}

/** Tells nobody. */
export const silent: Observer = {
  note: () => {},
  detail: () => {},
  progress: () => ({ update: () => {}, stop: () => {} }),
};

const MEGABYTE = 1e6;
/** What takes less is not worth a line. */
const SHOWN_AFTER_MS = 1000;

/** Shows the progress of `work` in bytes, should it take long. */
export async function withByteProgress<T>(
  observer: Observer,
  label: string,
  work: (onProgress: (done: number, total: number) => void) => Promise<T>,
): Promise<T> {
  let progress: Progress | undefined;
  const started = performance.now();
  try {
    return await work((done, total) => {
      if (performance.now() - started < SHOWN_AFTER_MS) return;
      progress ??= observer.progress(Math.ceil(total / MEGABYTE), 'MB');
      progress.update(Math.floor(done / MEGABYTE), label);
    });
  } finally {
    progress?.stop();
  }
}
