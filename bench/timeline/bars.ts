import type { TimelineRow } from '../../src/jobs/observe/timeline.js';

/** Something that a rank did, as `--timeline` writes it; times are microseconds. */
export interface TraceEvent {
  /** `X` has a duration; `M` names processes and threads. */
  readonly ph: 'X' | 'M';
  readonly name: string;
  /** The rank. */
  readonly pid: number;
  readonly cat: TimelineRow;
  readonly ts: number;
  readonly dur: number;
  readonly args: { readonly step: number; readonly patch: number; readonly waitedMs?: number };
}

/** A rectangle in a rank's row. Times are milliseconds since the first of them began. */
export interface Bar {
  readonly rank: number;
  readonly start: number;
  readonly end: number;
  /** The patch or step that is computed; undefined for whole pictures, and where a rank waits. */
  readonly group: number | undefined;
  readonly waits: boolean;
  readonly title: string;
  /** From long to short; the first that fits is shown. */
  readonly labels: readonly string[];
}

/**
 * Of the first `steps`: what they consist of where that is known, which is so of pipefusion, or else whole
 * steps.
 */
export function barsOf(events: readonly TraceEvent[], steps: number): readonly Bar[] {
  const spans = events.filter(({ ph, args }) => ph === 'X' && args.step < steps);
  const pieces = spans.filter(({ cat }) => cat === 'work');
  if (pieces.length === 0) {
    const whole = spans.filter(({ cat }) => cat === 'step');
    const begin = firstOf(whole);
    return whole.flatMap((event) => stepBars(event, begin));
  }
  const begin = firstOf(pieces);
  return pieces.flatMap((event) => pieceBars(event, patchesOf(pieces, event.args.step), begin));
}

function firstOf(events: readonly TraceEvent[]): number {
  return Math.min(...events.map(({ ts }) => ts));
}

function patchesOf(pieces: readonly TraceEvent[], step: number): number {
  return 1 + Math.max(...pieces.filter(({ args }) => args.step === step).map(({ args }) => args.patch));
}

/** What a step of pipefusion consists of, as step.patch. */
function pieceBars({ name, pid, ts, dur, args }: TraceEvent, patches: number, begin: number): Bar[] {
  const computes = name === 'compute';
  if (!computes && !name.startsWith('receive') && name !== 'gather') return [];
  const { step, patch } = args;
  const [label, ...shorter] =
    patches === 1
      ? [`step ${step + 1}, whole`, `step ${step + 1}`, `${step + 1}`]
      : [`${step + 1}.${patch + 1}`];
  const piece = {
    group: computes && patches > 1 ? patch : undefined,
    waits: !computes,
    title: `${name}, ${label}`,
    labels: computes && label !== undefined ? [label, ...shorter] : [],
  };
  return [{ ...span(pid, ts, dur, begin), ...piece }];
}

/** A whole step, the time that it waited at its end: when in it a rank waited is not known. */
function stepBars({ pid, ts, dur, args: { step, waitedMs = 0 } }: TraceEvent, begin: number): Bar[] {
  const waited = Math.min(waitedMs * 1000, dur);
  const title = `step ${step + 1}`;
  const computed = { group: step, waits: false, title, labels: [title, `${step + 1}`] };
  const waiting = { group: undefined, waits: true, title: `${title}, waited`, labels: [] };
  return [
    { ...span(pid, ts, dur - waited, begin), ...computed },
    { ...span(pid, ts + dur - waited, waited, begin), ...waiting },
  ];
}

function span(rank: number, start: number, duration: number, begin: number) {
  return { rank, start: (start - begin) / 1000, end: (start + duration - begin) / 1000 };
}
