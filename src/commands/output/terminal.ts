import cliProgress from 'cli-progress';

/** Shows how far something is. */
export interface Progress {
  /** `label` says what is being done; `note` is shown behind the numbers. */
  update(done: number, label: string, note?: string): void;
  stop(): void;
}

export type Verbosity = 'quiet' | 'normal' | 'verbose';

/** What people read: results on stdout, everything else on stderr. */
export class Terminal {
  constructor(readonly verbosity: Verbosity) {}

  /** What scripts want, also with --quiet. */
  result(line: string): void {
    process.stdout.write(`${line}\n`);
  }

  /** Results for people. */
  report(line: string): void {
    if (this.verbosity !== 'quiet') process.stdout.write(`${line}\n`);
  }

  note(line: string): void {
    if (this.verbosity !== 'quiet') process.stderr.write(`${line}\n`);
  }

  detail(line: string): void {
    if (this.verbosity === 'verbose') process.stderr.write(`${line}\n`);
  }

  /** A bar on a terminal, lines elsewhere, nothing with --quiet. `unit` is what is counted. */
  progress(total: number, unit: string): Progress {
    if (this.verbosity === 'quiet') return { update: () => {}, stop: () => {} };
    return process.stderr.isTTY ? new ProgressBar(total, unit) : new ProgressLines(total, unit);
  }
}

class ProgressBar implements Progress {
  private readonly bar: cliProgress.SingleBar;
  private started = false;

  constructor(
    private readonly total: number,
    unit: string,
  ) {
    this.bar = new cliProgress.SingleBar({
      format: `{label} {bar} {value}/{total} ${unit}{note}  {duration_formatted}`,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 30,
      hideCursor: true,
      clearOnComplete: true,
      gracefulExit: false,
      stream: process.stderr,
    });
  }

  update(done: number, label: string, note?: string): void {
    const texts = { label, note: appended(note) };
    if (!this.started) this.bar.start(this.total, done, texts);
    this.started = true;
    this.bar.update(done, texts);
  }

  stop(): void {
    if (this.started) this.bar.stop();
  }
}

/** A line for each label and for each tenth. */
class ProgressLines implements Progress {
  private label = '';
  private tenth = 0;

  constructor(
    private readonly total: number,
    private readonly unit: string,
  ) {}

  update(done: number, label: string, note?: string): void {
    const tenth = Math.floor((10 * done) / this.total);
    if (label !== this.label) process.stderr.write(`${label}\n`);
    else if (tenth > this.tenth) {
      process.stderr.write(`${label} ${done}/${this.total} ${this.unit}${appended(note)}\n`);
    }
    this.label = label;
    this.tenth = tenth;
  }

  stop(): void {}
}

function appended(note: string | undefined): string {
  return note === undefined ? '' : `, ${note}`;
}
