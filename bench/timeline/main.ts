/**
 * Draws what `--timeline` wrote as a picture: a row per rank, what it computes in the colour of the patch, what it waits for in gray. Prints SVG.
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
  readonly args: { readonly step: number; readonly patch: number; readonly name?: string };
}

const WIDTH = 1000;
const ROW = 46;
const BAR = 26;
const TOP = 24;
const LEFT = 70;
const colours = ['#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377'];
const WAITING = '#dddddd';

const { values, positionals } = parseArgs({
  options: { steps: { type: 'string', default: '3' } },
  allowPositionals: true,
});
const [path] = positionals;
if (path === undefined) throw new Error('which timeline?');
const { traceEvents } = JSON.parse(await readFile(path, 'utf8')) as { traceEvents: TraceEvent[] };
const work = traceEvents.filter(
  ({ ph, cat, args }) => ph === 'X' && cat === 'work' && args.step < Number(values.steps),
);
const begin = Math.min(...work.map(({ ts }) => ts));
const end = Math.max(...work.map(({ ts, dur }) => ts + dur));
const ranks = 1 + Math.max(...work.map(({ pid }) => pid));
const scale = (WIDTH - LEFT) / (end - begin);

const patches = (step: number) =>
  1 + Math.max(...work.filter(({ args }) => args.step === step).map(({ args }) => args.patch));

function bar({ name, pid, ts, dur, args }: TraceEvent): string {
  const computes = name === 'compute';
  const waits = name.startsWith('receive') || name === 'gather';
  if (!computes && !waits) return '';
  const x = LEFT + (ts - begin) * scale;
  const y = TOP + pid * ROW + (computes ? 0 : BAR / 4);
  const width = Math.max(dur * scale, 0.3);
  const height = computes ? BAR : BAR / 2;
  const colour = computes ? colours[args.patch % colours.length] : WAITING;
  const whole = patches(args.step) === 1;
  const label = whole ? `step ${args.step + 1}, whole` : `${args.step + 1}.${args.patch + 1}`;
  const text =
    computes && width > 7 * label.length
      ? `<text x="${(x + width / 2).toFixed(1)}" y="${y + BAR / 2 + 4}" text-anchor="middle" fill="white">${label}</text>`
      : '';
  const fill = whole && computes ? '#888888' : colour;
  return (
    `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${height}" fill="${fill}">` +
    `<title>rank ${pid}: ${name}, ${label}, ${(dur / 1000).toFixed(1)} ms</title></rect>${text}`
  );
}

const height = TOP + ranks * ROW + 10;
const rows = Array.from(
  { length: ranks },
  (_, rank) => `<text x="4" y="${TOP + rank * ROW + BAR / 2 + 4}" fill="#333">rank ${rank}</text>`,
);
const total = `<text x="${WIDTH}" y="14" text-anchor="end" fill="#333">${((end - begin) / 1000).toFixed(0)} ms</text>`;
process.stdout.write(
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    '<title>What each rank computes and waits for, in the order of time</title>',
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    total,
    ...rows,
    ...work.map(bar).filter((line) => line !== ''),
    '</svg>',
    '',
  ].join('\n'),
);
