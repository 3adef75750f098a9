import type { Cell, ColumnSummary, ComparisonRow } from './comparison.js';
import { escapeHtml } from './escape.js';
import { htmlHead, readAsset } from './page.js';

export interface PageHead {
  readonly title: string;
  readonly columns: readonly string[];
  readonly reference: number;
}

/** The page up to its rows: everything but what is known only when all pictures are compared. */
export async function pageStart({ title, columns, reference }: PageHead): Promise<string> {
  const headings = columns.map((name, index) => {
    const note = index === reference ? 'reference' : `<span data-summary="${index}"></span>`;
    return `<th scope="col">${escapeHtml(name)}<small>${note}</small></th>`;
  });
  return `${await htmlHead(title, 'comparison.css')}<body data-reference="${reference}">
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
  const script = await readAsset('comparison.js');
  const viewer = await readAsset('viewer.html');
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
