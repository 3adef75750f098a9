import { readFile } from 'node:fs/promises';
import type { Cell, ColumnSummary, ComparisonRow } from './comparison.js';
import { escapeHtml } from './escape.js';

/** Nothing is fetched from anywhere but the page itself and the pictures it links to. */
const POLICY =
  "default-src 'none'; img-src 'self' data: file:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

const assets = new URL('../../../assets/html/', import.meta.url);

export interface PageHead {
  readonly title: string;
  readonly columns: readonly string[];
  readonly reference: number;
}

/** The page up to its rows: everything but what is known only when all pictures are compared. */
export async function pageStart({ title, columns, reference }: PageHead): Promise<string> {
  const style = await readFile(new URL('comparison.css', assets), 'utf8');
  const headings = columns.map((name, index) => {
    const note = index === reference ? 'reference' : `<span data-summary="${index}"></span>`;
    return `<th scope="col">${escapeHtml(name)}<small>${note}</small></th>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${escapeHtml(title)}</title>
<style>
${style}</style>
</head>
<body data-reference="${reference}">
<h1>${escapeHtml(title)}</h1>
<table>
<thead><tr><th></th>${headings.join('')}</tr></thead>
<tbody>
`;
}

export function pageRow({ name, prompt, cells }: ComparisonRow, columns: readonly string[]): string {
  const heading = `<th scope="row">${escapeHtml(prompt ?? '')}<small>${escapeHtml(name)}</small></th>`;
  const pictures = cells.map((cell, index) => {
    if (cell === undefined) return '<td class="none">none</td>';
    const alt = escapeHtml(`${columns[index]}: ${prompt ?? name}`);
    return `<td><button data-picture="${escapeHtml(cell.picture)}"><img data-thumbnail="${cell.thumbnail}" width="${cell.width}" height="${cell.height}" alt="${alt}"></button><p>${psnrText(cell.psnr)}</p></td>`;
  });
  return `<tr>${heading}${pictures.join('')}</tr>\n`;
}

export async function pageEnd(summaries: readonly ColumnSummary[]): Promise<string> {
  const script = await readFile(new URL('comparison.js', assets), 'utf8');
  const viewer = await readFile(new URL('viewer.html', assets), 'utf8');
  const texts = JSON.stringify(summaries.map(summaryText)).replaceAll('<', '\\u003c');
  return `</tbody>
</table>
${viewer}<script type="application/json" id="summaries">${texts}</script>
<script>
${script}</script>
</body>
</html>
`;
}

function psnrText(psnr: Cell['psnr']): string {
  if (typeof psnr === 'string') return psnr;
  return psnr === Number.POSITIVE_INFINITY ? 'equal' : `${psnr.toFixed(2)} dB`;
}

/** "mean PSNR 24.31 dB, 2 of 12 equal". */
export function summaryText({ mean, compared, equal }: ColumnSummary): string {
  if (compared === 0) return 'nothing to compare with';
  if (mean === undefined) return 'all equal';
  return `mean PSNR ${mean.toFixed(2)} dB${equal > 0 ? `, ${equal} of ${compared} equal` : ''}`;
}
