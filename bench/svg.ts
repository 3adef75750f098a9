import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/** A plot as the text of an SVG file. `title` says what it shows to who can't see it. */
export function plotSvg(title: string, options: Plot.PlotOptions): string {
  const { document } = parseHTML('<html><body></body></html>');
  const plot = Plot.plot({
    document,
    style: { fontSize: '12px', background: 'white', color: '#222' },
    ...options,
  });
  plot.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  // How it would lie in a page.
  plot.querySelector('style')?.remove();
  const text = document.createElementNS('http://www.w3.org/2000/svg', 'title');
  text.textContent = title;
  plot.prepend(text);
  return `${plot.outerHTML}\n`;
}
