import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromeTrace, TimelineRecorder, type TimelineSpan } from '../../../src/jobs/observe/timeline.js';

interface TraceEvent {
  readonly ph: string;
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly args: Readonly<Record<string, unknown>>;
}

function eventsOf(
  ranks: readonly (readonly TimelineSpan[])[],
  names: readonly string[],
): readonly TraceEvent[] {
  return (chromeTrace(ranks, names) as { traceEvents: readonly TraceEvent[] }).traceEvents;
}

const span = (row: TimelineSpan['row'], name: string, start: number, duration: number): TimelineSpan => ({
  row,
  name,
  start,
  duration,
  details: { step: 1 },
});

test('a trace has a process for each rank with its name, a thread for each row, and begins at 0', () => {
  const ranks = [
    [span('phase', 'load', 5000, 10), span('step', 'step 1', 5010.1234, 20)],
    [span('phase', 'load', 4000.5, 30)],
  ];
  const events = eventsOf(ranks, ['rank 0: all']);
  const labels = events
    .filter(({ ph }) => ph === 'M')
    .map(({ name, pid, tid, args }) => [name, pid, tid, args.name]);
  assert.deepEqual(labels, [
    ['process_name', 0, 0, 'rank 0: all'],
    ['thread_name', 0, 0, 'phase'],
    ['thread_name', 0, 1, 'step'],
    ['process_name', 1, 0, 'rank 1'],
    ['thread_name', 1, 0, 'phase'],
  ]);
  const spans = events
    .filter(({ ph }) => ph === 'X')
    .map(({ name, pid, tid, ts, dur }) => [name, pid, tid, ts, dur]);
  assert.deepEqual(spans, [
    ['load', 0, 0, 999.5, 10],
    ['step 1', 0, 1, 1009.623, 20],
    ['load', 1, 0, 0, 30],
  ]);
});

test('a recorder tells what each step exchanged, and passes everything on', () => {
  const heard: string[] = [];
  let total = { bytesPublished: 100, bytesFetched: 10, waited: 1 };
  const recorder = new TimelineRecorder(
    { phase: (name, event) => heard.push(`${name} ${event}`), step: (step) => heard.push(`step ${step}`) },
    () => total,
  );
  recorder.phase('denoise', 'start');
  total = { bytesPublished: 130, bytesFetched: 20, waited: 1.5 };
  recorder.step(0, 1);
  recorder.span('compute', { patch: 2 })();
  recorder.phase('denoise', 'end');
  assert.deepEqual(heard, ['denoise start', 'step 0', 'denoise end']);
  assert.deepEqual(
    recorder.spans.map(({ row, name, details }) => [row, name, details]),
    [
      ['step', 'step 1', { step: 0, bytesPublished: 30, bytesFetched: 10, waitedMs: 0.5 }],
      ['work', 'compute', { patch: 2 }],
      ['phase', 'denoise', {}],
    ],
  );
});
