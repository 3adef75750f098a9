import type { DistriError } from '../base/errors.js';
import type { PairResult } from '../metrics/compare-pairs.js';
import type { Metrics } from '../metrics/compute.js';
import { escapeHtml } from './escape.js';
import { htmlHead } from './page.js';

/**
 * A page with the figures of two folders, and a table of all pairs of images. `figure` writes a figure of a
 * name.
 */
export async function metricsPage(
  folders: readonly [string, string],
  metrics: Metrics,
  figure: (name: 'psnr' | 'lpips' | 'fid' | 'kid') => string | undefined,
): Promise<string> {
  const title = folders.join(' and ');
  const figures = [
    ['PSNR', figure('psnr')],
    ['identical pairs', metrics.pairing && String(metrics.identical)],
    ['LPIPS', figure('lpips')],
    ['FID', figure('fid')],
    ['KID', figure('kid')],
  ] as const;
  const rows = figures.flatMap(([name, value]) =>
    value === undefined ? [] : [`<tr><th scope="row">${name}</th><td>${value}</td></tr>`],
  );
  const problems = metrics.problems.map(({ message }: DistriError) => `<p>${escapeHtml(message)}</p>\n`);
  return `${await htmlHead(`Metrics of ${title}`, 'metrics.css')}<body>
<h1>${escapeHtml(title)}</h1>
<table>
${rows.join('\n')}
</table>
${problems.join('')}<h2>Pairs</h2>
${pairTable(metrics.pairs)}</body>
</html>
`;
}

/** Without a column for what nobody asked for. */
function pairTable(pairs: readonly PairResult[]): string {
  const columns = [
    { title: 'PSNR (dB)', has: pairs.some(({ psnr }) => psnr !== undefined), cell: psnrText },
    { title: 'LPIPS', has: pairs.some(({ lpips }) => lpips !== undefined), cell: lpipsText },
  ].filter(({ has }) => has);
  const rows = pairs.map((pair) => {
    const { names, problem } = pair;
    const name = escapeHtml(names[0] === names[1] ? names[0] : names.join(' / '));
    const cells =
      problem && pair.psnr === undefined
        ? [`<td colspan="${Math.max(columns.length, 1)}">${escapeHtml(problem.message)}</td>`]
        : columns.map(({ cell }) => `<td>${cell(pair)}</td>`);
    return `<tr><td>${name}</td>${cells.join('')}</tr>`;
  });
  const titles = columns.map(({ title }) => `<th>${title}</th>`);
  return `<table>
<thead><tr><th>image</th>${titles.join('')}</tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
`;
}

function psnrText({ psnr }: PairResult): string {
  if (psnr === undefined) return '';
  return Number.isFinite(psnr) ? psnr.toFixed(3) : 'identical';
}

function lpipsText({ lpips }: PairResult): string {
  return lpips?.toFixed(6) ?? '';
}
