import * as Plot from '@observablehq/plot';
import { isExactMode, type Mode } from '../modes.js';
import { plotSvg } from '../svg.js';
import type { Setting } from './grid.js';
import { type Likeness, meanLikeness } from './likeness.js';

const WIDTH = 960;
/** Distinguishable also by people who see few colours, from light to dark (viridis). */
const SHADES = ['#7ad151', '#22a884', '#2a788e', '#414487', '#440154'];

/** In place of the number of steps. */
const NO_WARM_UP = 'none';

interface Point {
  readonly mode: string;
  readonly ranks: number;
  readonly warmup: string;
  readonly value: number;
}

/** What is drawn of a measure. */
interface Shown {
  /** Names of modes, in the order of `modes`. */
  readonly modes: readonly string[];
  readonly warmups: readonly string[];
  /** Of modes with a warm-up, and of those without. */
  readonly warmed: readonly Point[];
  readonly others: readonly Point[];
}

/** Exact pictures would leave no room for the others. */
function inexact(likeness: Likeness, modes: readonly Mode[], settings: readonly Setting[]): Shown {
  const shown = modes.filter((mode) => !isExactMode(mode));
  const points = shown.flatMap((mode) =>
    settings.filter((setting) => setting.mode.name === mode.name).flatMap((own) => pointOf(likeness, own)),
  );
  const warmed = points.filter(({ warmup }) => warmup !== NO_WARM_UP);
  return {
    modes: shown.map(({ name }) => name),
    warmups: [...new Set(warmed.map(({ warmup }) => warmup))],
    warmed,
    others: points.filter(({ warmup }) => warmup === NO_WARM_UP),
  };
}

function pointOf(likeness: Likeness, setting: Setting): Point[] {
  const value = meanLikeness(likeness, setting);
  if (value === undefined) return [];
  const { mode, ranks, warmupSteps } = setting;
  return [{ mode: mode.name, ranks, warmup: String(warmupSteps ?? NO_WARM_UP), value }];
}

/** A panel for each number of ranks: modes from left to right, a line for each warm-up. */
export function plotModes(likeness: Likeness, modes: readonly Mode[], settings: readonly Setting[]): string {
  const { warmed, others, warmups, ...shown } = inexact(likeness, modes, settings);
  const colour = colours(warmups);
  const at = { fx: 'ranks', x: 'mode', y: 'value' } as const;
  return svg(`${likeness.name} by modes`, {
    height: 470,
    marginBottom: 140,
    marginLeft: 110,
    fx: { label: null, tickFormat: (ranks: number) => `${ranks} ranks`, padding: 0.08 },
    x: { domain: shown.modes, label: null, tickRotate: -50 },
    y: { grid: true, nice: true, label: axisLabel(likeness), labelOffset: 40 },
    marks: [
      Plot.frame({ stroke: '#ddd' }),
      Plot.line(warmed, { ...at, z: 'warmup', stroke: colour }),
      Plot.dot(warmed, { ...at, fill: colour, r: 4 }),
      Plot.dot(others, { ...at, fill: '#888', symbol: 'square', r: 4 }),
      ...legend(likeness, warmups),
    ],
  });
}

/** A panel for each mode: ranks from left to right, a line for each warm-up. */
export function plotRanks(likeness: Likeness, modes: readonly Mode[], settings: readonly Setting[]): string {
  const { warmed, others, warmups, ...shown } = inexact(likeness, modes, settings);
  const colour = colours(warmups);
  const at = { fx: 'mode', x: 'ranks', y: 'value' } as const;
  return svg(`${likeness.name} by ranks`, {
    height: 370,
    fx: {
      domain: shown.modes,
      label: null,
      padding: 0.08,
      // Two lines of the title of a panel.
      tickFormat: (mode: string) => mode.replace(' ', '\n'),
    },
    x: { type: 'point', label: 'ranks' },
    y: { grid: true, nice: true, label: axisLabel(likeness), labelOffset: 40 },
    marks: [
      Plot.frame({ stroke: '#ddd' }),
      Plot.line(warmed, { ...at, z: 'warmup', stroke: colour }),
      Plot.dot(warmed, { ...at, fill: colour, r: 4 }),
      Plot.line(others, { ...at, stroke: '#888' }),
      Plot.dot(others, { ...at, fill: '#888', symbol: 'square', r: 4 }),
      ...legend(likeness, warmups, others[0]?.mode),
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
 * Coloured words below each other, in each panel or in the one called `facet`: at the right, where pictures
 * are least close, in the corner that they leave free.
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

function svg(title: string, options: Plot.PlotOptions): string {
  return plotSvg(title, { width: WIDTH, marginLeft: 50, marginRight: 10, marginTop: 70, ...options });
}
