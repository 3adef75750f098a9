import cliProgress from 'cli-progress';
import type { Command } from 'commander';
import type { Observer, Progress } from '../../app/observer.js';
import { clockText } from '../../base/numbers.js';

export type Verbosity = 'quiet' | 'normal' | 'verbose';

/**
 * What people read: results on stdout, everything else on stderr. A line never meets a progress bar: the bar
 * makes room for it.
 */
export class Terminal implements Observer {
  /** Shown now. */
  #bar: ProgressBar | undefined;

  constructor(readonly verbosity: Verbosity) {}

  /** What scripts want, also with --quiet. */
  result(line: string): void {
    this.#write(process.stdout, line);
  }

  /** Results for people, on stdout. */
  report(line: string): void {
    if (this.verbosity !== 'quiet') this.#write(process.stdout, line);
  }

  note(line: string): void {
    if (this.verbosity !== 'quiet') this.#write(process.stderr, line);
  }

  detail(line: string): void {
    if (this.verbosity === 'verbose') this.#write(process.stderr, line);
  }

  /** A bar on a terminal, lines elsewhere, nothing with --quiet. `unit` is what is counted. */
  progress(total: number, unit: string): Progress {
    if (this.verbosity === 'quiet') return { update: () => {}, stop: () => {} };
    if (!process.stderr.isTTY) return new ProgressLines(total, unit);
    this.#bar?.stop();
    const bar = new ProgressBar(total, unit, () => {
      if (this.#bar === bar) this.#bar = undefined;
    });
    this.#bar = bar;
    return bar;
  }

  #write(stream: NodeJS.WriteStream, line: string): void {
    this.#bar?.hide();
    stream.write(`${line}\n`);
    this.#bar?.show();
  }
}

/** The terminal of a command that was called with `--quiet`, `--verbose` or neither. */
export function terminalOf(command: Command): Terminal {
  const { quiet, verbose } = command.optsWithGlobals<{ quiet?: true; verbose?: true }>();
  return new Terminal(quiet ? 'quiet' : verbose ? 'verbose' : 'normal');
}

class ProgressBar implements Progress {
  readonly #bar: cliProgress.SingleBar;
  readonly #total: number;
  readonly #stopped: () => void;
  readonly #started = performance.now();
  #last: { readonly done: number; readonly label: string; readonly outlook: string | undefined } | undefined;

  constructor(total: number, unit: string, stopped: () => void) {
    this.#total = total;
    this.#stopped = stopped;
    this.#bar = new cliProgress.SingleBar({
      format: `{label} {bar} {value}/{total} ${unit}{times}`,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
      gracefulExit: false,
      stream: process.stderr,
    });
  }

  update(done: number, label: string, outlook?: string): void {
    const first = this.#last === undefined;
    this.#last = { done, label, outlook };
    if (first) this.show();
    else this.#bar.update(done, this.#texts);
  }

  /** Makes room for a line. */
  hide(): void {
    if (this.#last) this.#bar.stop();
  }

  show(): void {
    if (this.#last) this.#bar.start(this.#total, this.#last.done, this.#texts);
  }

  stop(): void {
    this.hide();
    this.#last = undefined;
    this.#stopped();
  }

  get #texts(): { label: string; times: string } {
    const elapsed = `${clockText((performance.now() - this.#started) / 1000)} so far`;
    return { label: this.#last?.label ?? '', times: `${appended(this.#last?.outlook)}, ${elapsed}` };
  }
}

/** A line for each label and for each tenth. */
class ProgressLines implements Progress {
  #label = '';
  #tenth = 0;
  readonly #total: number;
  readonly #unit: string;

  constructor(total: number, unit: string) {
    this.#total = total;
    this.#unit = unit;
  }

  update(done: number, label: string, outlook?: string): void {
    const tenth = Math.floor((10 * done) / this.#total);
    const sameWork = label === this.#label;
    if (!sameWork && tenth <= this.#tenth) process.stderr.write(`${label}\n`);
    else if (tenth > this.#tenth) {
      process.stderr.write(`${label} ${done}/${this.#total} ${this.#unit}${appended(outlook)}\n`);
    }
    this.#label = label;
    this.#tenth = tenth;
  }

  stop(): void {}
}

function appended(text: string | undefined): string {
  return text === undefined ? '' : `, ${text}`;
}
