/**
 * Draws what `--timeline` wrote as a picture, a row per rank. Of pipefusion: what it computes in the colour of the patch, what it waits for in gray. Of other
 * runs: its steps, the share of each that it waited in gray at the end. Prints SVG.
 *
 *   node dist/bench/timeline/main.js timeline.json [--steps 3] > docs/pipefusion-timeline.svg
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

interface TraceEvent {
  readonly ph: 'X' | 'M';
  readonly name: string;
  readonly pid: number;
  readonly cat: string;
  readonly ts: number;
  readonly dur: number;
  readonly args: { readonly step: number; readonly patch: number; readonly waitedMs?: number };
}

/** A rectangle of one rank's row, with the first of the labels that fits. */
interface Bar {
  readonly pid: number;
  readonly start: number;
  readonly duration: number;
  readonly colour: string;
  readonly thin: boolean;
  readonly title: string;
  readonly labels: readonly string[];
}

const WIDTH = 1000;
const ROW = 46;
const BAR = 26;
const TOP = 24;
const LEFT = 70;
const RIGHT = 10;
const colours = ['#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377'];
/** On which white letters are hard to read. */
const light: readonly string[] = ['#ccbb44', '#66ccee'];
const WHOLE = '#888888';
const WAITING = '#dddddd';

const { values, positionals } = parseArgs({
  options: { steps: { type: 'string', default: '3' } },
  allowPositionals: true,
});
const [path] = positionals;
if (path === undefined) throw new Error('which timeline?');
const { traceEvents } = JSON.parse(await readFile(path, 'utf8')) as { traceEvents: TraceEvent[] };
const ofSteps = (row: string) =>
  traceEvents.filter(({ ph, cat, args }) => ph === 'X' && cat === row && args.step < Number(values.steps));
const pieces = ofSteps('work');
const work = pieces.length > 0 ? pieces : ofSteps('step');
if (work.length === 0) throw new Error(`${path} has none of these steps`);
const begin = Math.min(...work.map(({ ts }) => ts));
const end = Math.max(...work.map(({ ts, dur }) => ts + dur));
const ranks = 1 + Math.max(...work.map(({ pid }) => pid));
const scale = (WIDTH - LEFT - RIGHT) / (end - begin);

const patches = (step: number) =>
  1 + Math.max(...work.filter(({ args }) => args.step === step).map(({ args }) => args.patch));

/** What a step of pipefusion consists of. */
function pieceBars({ name, pid, ts: start, dur: duration, args }: TraceEvent): Bar[] {
  const computes = name === 'compute';
  if (!computes && !name.startsWith('receive') && name !== 'gather') return [];
  const whole = patches(args.step) === 1;
  const label = whole ? `step ${args.step + 1}, whole` : `${args.step + 1}.${args.patch + 1}`;
  const colour = whole ? WHOLE : (colours[args.patch % colours.length] as string);
  return [
    {
      pid,
      start,
      duration,
      colour: computes ? colour : WAITING,
      thin: !computes,
      title: `${name}, ${label}`,
      labels: !computes ? [] : whole ? [label, `step ${args.step + 1}`, `${args.step + 1}`] : [label],
    },
  ];
}

/** A whole step: when in it a rank waited is not known. */
function stepBars({ pid, ts, dur, args: { step, waitedMs = 0 } }: TraceEvent): Bar[] {
  const waited = Math.min(waitedMs * 1000, dur);
  const colour = colours[step % colours.length] as string;
  const name = `step ${step + 1}`;
  return [
    {
      pid,
      start: ts,
      duration: dur - waited,
      colour,
      thin: false,
      title: name,
      labels: [name, `${step + 1}`],
    },
    {
      pid,
      start: ts + dur - waited,
      duration: waited,
      colour: WAITING,
      thin: true,
      title: `${name}, waited`,
      labels: [],
    },
  ];
}

function draw({ pid, start, duration, colour, thin, title, labels }: Bar): string {
  const x = LEFT + (start - begin) * scale;
  const y = TOP + pid * ROW + (thin ? BAR / 4 : 0);
  const width = Math.max(duration * scale, 0.3);
  const label = labels.find((text) => width > 7 * text.length);
  const text = label
    ? `<text x="${(x + width / 2).toFixed(1)}" y="${y + BAR / 2 + 4}" text-anchor="middle" fill="${light.includes(colour) ? '#222' : 'white'}">${label}</text>`
    : '';
  return (
    `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${thin ? BAR / 2 : BAR}" fill="${colour}">` +
    `<title>rank ${pid}: ${title}, ${(duration / 1000).toFixed(1)} ms</title></rect>${text}`
  );
}

const height = TOP + ranks * ROW + 10;
const rows = Array.from(
  { length: ranks },
  (_, rank) => `<text x="4" y="${TOP + rank * ROW + BAR / 2 + 4}" fill="#333">rank ${rank}</text>`,
);
const total = `<text x="${WIDTH - RIGHT}" y="14" text-anchor="end" fill="#333">${((end - begin) / 1000).toFixed(0)} ms</text>`;
process.stdout.write(
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    '<title>What each rank computes and waits for, in the order of time</title>',
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    total,
    ...rows,
    ...work.flatMap(pieces.length > 0 ? pieceBars : stepBars).map(draw),
    '</svg>',
    '',
  ].join('\n'),
);
