import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { hasWarmup, type Setting, studyModes } from './grid.js';
import { type Likeness, meanLikeness } from './likeness.js';

const WIDTH = 960;
/** Distinguishable also by people who see few colours, from light to dark (viridis). */
const SHADES = ['#7ad151', '#22a884', '#2a788e', '#414487', '#440154'];

interface Point {
  readonly mode: string;
  readonly ranks: number;
  readonly warmup: string;
  readonly value: number;
}

function points(likeness: Likeness, settings: readonly Setting[]): Point[] {
  return settings.flatMap((setting) => {
    const value = meanLikeness(likeness, setting);
    if (value === undefined) return [];
    const { mode, ranks, warmupSteps } = setting;
    return { mode, ranks, warmup: warmupSteps === undefined ? 'none' : String(warmupSteps), value };
  });
}

/** A panel for each number of ranks: modes from left to right, a line for each warm-up. */
export function plotModes(likeness: Likeness, settings: readonly Setting[]): string {
  // Exact pictures would leave no room for the others.
  const shown = points(
    likeness,
    settings.filter(({ mode }) => mode !== 'full_sync'),
  );
  const displaced = shown.filter(({ warmup }) => warmup !== 'none');
  const warmups = [...new Set(displaced.map(({ warmup }) => warmup))];
  const colour = colours(warmups);
  return svg({
    height: 450,
    marginBottom: 120,
    marginLeft: 90,
    fx: { label: null, tickFormat: (ranks: number) => `${ranks} ranks`, padding: 0.08 },
    x: { domain: studyModes.filter((mode) => mode !== 'full_sync'), label: null, tickRotate: -50 },
    y: { grid: true, nice: true, label: axisLabel(likeness), labelOffset: 40 },
    marks: [
      Plot.frame({ stroke: '#ddd' }),
      Plot.line(displaced, { fx: 'ranks', x: 'mode', y: 'value', z: 'warmup', stroke: colour }),
      Plot.dot(displaced, { fx: 'ranks', x: 'mode', y: 'value', fill: colour, r: 4 }),
      Plot.dot(
        shown.filter(({ warmup }) => warmup === 'none'),
        { fx: 'ranks', x: 'mode', y: 'value', fill: '#888', symbol: 'square', r: 4 },
      ),
      ...legend(likeness, warmups),
    ],
  });
}

/** A panel for each mode: ranks from left to right, a line for each warm-up. */
export function plotRanks(likeness: Likeness, settings: readonly Setting[]): string {
  const shown = points(
    likeness,
    settings.filter(({ mode }) => hasWarmup(mode) || mode === 'naive_patch'),
  );
  const displaced = shown.filter(({ warmup }) => warmup !== 'none');
  const naive = shown.filter(({ warmup }) => warmup === 'none');
  const warmups = [...new Set(displaced.map(({ warmup }) => warmup))];
  const colour = colours(warmups);
  const at = { fx: 'mode', x: 'ranks', y: 'value' } as const;
  return svg({
    height: 360,
    fx: { domain: studyModes.filter((mode) => mode !== 'full_sync'), label: null, padding: 0.08 },
    x: { type: 'point', label: 'ranks' },
    y: { grid: true, nice: true, label: axisLabel(likeness), labelOffset: 40 },
    marks: [
      Plot.frame({ stroke: '#ddd' }),
      Plot.line(displaced, { ...at, z: 'warmup', stroke: colour }),
      Plot.dot(displaced, { ...at, fill: colour, r: 4 }),
      Plot.line(naive, { ...at, stroke: '#888' }),
      Plot.dot(naive, { ...at, fill: '#888', symbol: 'square', r: 4 }),
      ...legend(likeness, warmups, 'naive_patch'),
    ],
  });
}

function axisLabel({ name, unit, better }: Likeness): string {
  const arrow = better === 'higher' ? 'higher is closer' : 'lower is closer';
  return `${name} to one rank${unit === '' ? '' : `, ${unit}`} (${arrow})`;
}

function colours(warmups: readonly string[]): (point: { readonly warmup: string }) => string {
  const step = (SHADES.length - 1) / Math.max(1, warmups.length - 1);
  return ({ warmup }) => SHADES[Math.round(warmups.indexOf(warmup) * step)] as string;
}

/**
 * Coloured words below each other, in each panel or in the one called `facet`: at the right, where pictures are least close, in the
 * corner that they leave free.
 */
function legend({ better }: Likeness, warmups: readonly string[], facet?: string): Plot.Markish[] {
  const colour = colours(warmups);
  return warmups.map((warmup, index) =>
    Plot.text([{ facet, text: `warm-up ${warmup}` }], {
      text: 'text',
      ...(facet === undefined ? {} : { fx: 'facet' }),
      frameAnchor: better === 'higher' ? 'top-right' : 'bottom-right',
      dx: -6,
      dy: better === 'higher' ? 10 + 15 * index : 15 * (index - warmups.length + 1) - 8,
      fill: colour({ warmup }),
      fontWeight: 'bold',
    }),
  );
}

function svg(options: Plot.PlotOptions): string {
  const { document } = parseHTML('<html><body></body></html>');
  const plot = Plot.plot({
    document,
    width: WIDTH,
    marginLeft: 50,
    marginRight: 10,
    marginTop: 60,
    style: { fontSize: '12px', background: 'white', color: '#222' },
    ...options,
  });
  plot.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  return `${plot.outerHTML}\n`;
}
