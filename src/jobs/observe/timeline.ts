import type { CommunicatorStatistics } from '../../engine/addon.js';
import type { Phase, ProgressListener } from '../../ranks/progress.js';
import type { Tensor } from '../../tensor/tensor.js';
import { PassingListener } from './passing-listener.js';

/** Rows of a rank in the picture. */
const timelineRows = ['phase', 'step', 'work'] as const;
/** What a span is: a phase of a call, a denoising step, or work within a step. @useDeclaredType */
export type TimelineRow = (typeof timelineRows)[number];

/** Something that a rank did. Times are microseconds of a clock that all processes of a host share. */
export interface TimelineSpan {
  /** In which of a rank's rows it is shown. */
  readonly row: TimelineRow;
  /** Such as "denoise" or "step 3". */
  readonly name: string;
  /** In microseconds since the host has booted. */
  readonly start: number;
  /** In microseconds. */
  readonly duration: number;
  /** Of a step: its number from 0, the bytes that it sent and read, and the milliseconds that it waited. */
  readonly details: Readonly<Record<string, number>>;
}

/** Notes when a rank's phases, steps and what is in them began and ended, while it passes progress on. */
export class TimelineRecorder extends PassingListener {
  readonly spans: TimelineSpan[] = [];
  readonly #statistics: () => CommunicatorStatistics | undefined;
  readonly #phases = new Map<Phase, number>();
  #lastStep = 0;
  #last: CommunicatorStatistics | undefined;

  /** `statistics` are the totals so far, undefined on a rank without peers. */
  constructor(next: ProgressListener, statistics: () => CommunicatorStatistics | undefined) {
    super(next);
    this.#statistics = statistics;
  }

  override phase(name: Phase, event: 'start' | 'end'): void {
    const time = now();
    if (event === 'start') {
      this.#phases.set(name, time);
      this.#lastStep = time;
      this.#last = this.#statistics();
    } else {
      this.#add('phase', name, this.#phases.get(name) ?? time, time, {});
    }
    super.phase(name, event);
  }

  override step(step: number, steps: number, latents?: Tensor<'float32'>): void {
    const time = now();
    const total = this.#statistics();
    const exchanged = total && this.#last ? exchange(total, this.#last) : {};
    this.#add('step', `step ${step + 1}`, this.#lastStep, time, { step, ...exchanged });
    this.#lastStep = time;
    this.#last = total;
    super.step(step, steps, latents);
  }

  span(name: string, details: Readonly<Record<string, number>>): () => void {
    const start = now();
    return () => this.#add('work', name, start, now(), details);
  }

  #add(
    row: TimelineRow,
    name: string,
    start: number,
    end: number,
    details: Readonly<Record<string, number>>,
  ): void {
    this.spans.push({ row, name, start, duration: end - start, details });
  }
}

/**
 * What ranks did as an object of the Trace Event Format, which chrome://tracing and ui.perfetto.dev show: a
 * process per rank, whose name is `names[rank]`, with a thread for phases, one for steps and one for what
 * steps consist of.
 */
export function chromeTrace(ranks: readonly (readonly TimelineSpan[])[], names: readonly string[]): object {
  const begin = Math.min(...ranks.flat().map(({ start }) => start));
  const labels = ranks.flatMap((spans, pid) => [
    metadata('process_name', pid, 0, names[pid] ?? `rank ${pid}`),
    ...timelineRows.flatMap((row, tid) =>
      spans.some((span) => span.row === row) ? [metadata('thread_name', pid, tid, row)] : [],
    ),
  ]);
  const events = ranks.flatMap((spans, pid) =>
    spans.map(({ row, name, start, duration, details }) => ({
      ph: 'X',
      name,
      cat: row,
      pid,
      tid: timelineRows.indexOf(row),
      ts: round(start - begin),
      dur: round(duration),
      args: details,
    })),
  );
  return { displayTimeUnit: 'ms', traceEvents: [...labels, ...events] };
}

function metadata(kind: string, pid: number, tid: number, name: string): object {
  return { ph: 'M', name: kind, pid, tid, args: { name } };
}

function exchange(
  total: CommunicatorStatistics,
  before: CommunicatorStatistics,
): Readonly<Record<string, number>> {
  return {
    bytesPublished: total.bytesPublished - before.bytesPublished,
    bytesFetched: total.bytesFetched - before.bytesFetched,
    waitedMs: round(total.waited - before.waited),
  };
}

/** Microseconds of CLOCK_MONOTONIC. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1000;
}

function round(number: number): number {
  return Math.round(number * 1000) / 1000;
}
