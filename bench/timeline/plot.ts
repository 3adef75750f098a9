import * as Plot from '@observablehq/plot';
import { plotSvg } from '../svg.js';
import type { Bar } from './bars.js';

const WIDTH = 1000;
const ROW = 46;
const MARGIN = { marginLeft: 60, marginRight: 20, marginTop: 10, marginBottom: 40 } as const;
/** Above and below a rank's bars. */
const INSET = 10;
/** Bars in which a rank waits are half as high. */
const WAITING_INSET = INSET + (ROW - 2 * INSET) / 4;
const CHARACTER = 7;
const colours = ['#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377'];
/** On which white letters are hard to read. */
const light: readonly string[] = ['#ccbb44', '#66ccee'];
const WHOLE = '#888888';
const WAITING = '#dddddd';

/** A row for each rank, from left to right what it does in the order of time. */
export function plotTimeline(bars: readonly Bar[]): string {
  const ranks = 1 + Math.max(...bars.map(({ rank }) => rank));
  const end = Math.max(...bars.map((bar) => bar.end));
  const pixels = (WIDTH - MARGIN.marginLeft - MARGIN.marginRight) / end;
  const busy = bars.filter(({ waits }) => !waits);
  const waiting = bars.filter(({ waits }) => waits);
  const labelled = busy.flatMap((bar) => {
    const width = (bar.end - bar.start) * pixels;
    const label = bar.labels.find((text) => width > CHARACTER * text.length);
    return label === undefined ? [] : [{ ...bar, label }];
  });
  const bar = { x1: 'start', x2: 'end', y: 'rank', title: titleOf } as const;
  return plotSvg('What each rank computes and waits for, in the order of time', {
    ...MARGIN,
    width: WIDTH,
    height: MARGIN.marginTop + ranks * ROW + MARGIN.marginBottom,
    x: { domain: [0, end], label: 'milliseconds', labelAnchor: 'right' },
    y: {
      type: 'band',
      domain: Array.from({ length: ranks }, (_, rank) => rank),
      padding: 0,
      label: null,
      tickSize: 0,
      tickFormat: (rank: number) => `rank ${rank}`,
    },
    marks: [
      Plot.barX(waiting, { ...bar, fill: WAITING, insetTop: WAITING_INSET, insetBottom: WAITING_INSET }),
      Plot.barX(busy, { ...bar, fill: colourOf, insetTop: INSET, insetBottom: INSET }),
      Plot.text(labelled, {
        x: ({ start, end: until }: Bar) => (start + until) / 2,
        y: 'rank',
        text: 'label',
        fill: (each: Bar) => (light.includes(colourOf(each)) ? '#222' : 'white'),
        pointerEvents: 'none',
      }),
    ],
  });
}

function colourOf({ group }: Bar): string {
  return group === undefined ? WHOLE : (colours[group % colours.length] as string);
}

function titleOf({ rank, title, start, end }: Bar): string {
  return `rank ${rank}: ${title}, ${(end - start).toFixed(1)} ms`;
}
