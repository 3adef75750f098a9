import { Buffer } from 'node:buffer';
import { resolve } from 'node:path';
import { fileError, writeAtomically, writeExactly } from '../../base/file-io.js';
import { escapeHtml } from '../../html/escape.js';
import type { PairResult } from '../../metrics/compare-pairs.js';
import type { Metrics, MetricsRequest } from '../../metrics/compute.js';
import { pythonFloat } from './python-float.js';
import type { Terminal } from './terminal.js';

/** Prints the figures in the reference's lines: PSNR and LPIPS as float32, FID as float64. */
export function printMetrics(metrics: Metrics, terminal: Terminal): void {
  const { psnr, lpips, fid, kid, identical, pairs } = metrics;
  const single = (value: number) => pythonFloat(Math.fround(value));
  if (psnr) terminal.result(`PSNR: ${single(psnr.value)}`);
  else if (identical > 0) terminal.result('PSNR: inf');
  if (psnr && identical > 0 && Number.isFinite(psnr.value)) {
    terminal.report(`PSNR is the mean of ${psnr.pairs} pairs; ${identical} of ${pairs.length} are identical`);
  }
  if (lpips) terminal.result(`LPIPS: ${single(lpips.value)}`);
  if (fid !== undefined) terminal.result(`FID: ${pythonFloat(fid)}`);
  if (kid !== undefined) terminal.result(`KID: ${pythonFloat(kid)}`);
}

/** Writes what `--json` names. An infinite PSNR is the text "inf". */
export function writeJson(path: string, request: MetricsRequest, metrics: Metrics): Promise<void> {
  const { folders, groundTruth: is_gt, strict: strict_reference } = request;
  const { pairing, pairs, identical, psnr, lpips, images, fid, kid, problems } = metrics;
  const record = {
    input_root0: folders[0],
    input_root1: folders[1],
    is_gt,
    strict_reference,
    psnr: psnr?.value,
    psnr_pairs: psnr?.pairs,
    identical_pairs: pairing && identical,
    lpips: lpips?.value,
    lpips_pairs: lpips?.pairs,
    fid,
    kid,
    images,
    paired_by: pairing?.by,
    not_paired: pairing?.alone,
    pairs: pairs.map(({ names, psnr, lpips, problem }) => ({
      names,
      psnr,
      lpips,
      problem: problem?.message,
    })),
    problems: problems.map(({ message }) => message),
  };
  return writeText(path, `${JSON.stringify(record, infinityAsText, 2)}\n`);
}

function infinityAsText(_key: string, value: unknown): unknown {
  return value === Number.POSITIVE_INFINITY ? 'inf' : value;
}

const STYLE = `body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; }
table { border-collapse: collapse; }
td, th { padding: 0.2em 1em; text-align: right; border-bottom: 1px solid #ccc; }
td:first-child, th:first-child { text-align: left; }`;

/** Writes what `--html` names: the means, and a table of all pairs. */
export function writeHtml(path: string, { folders }: MetricsRequest, metrics: Metrics): Promise<void> {
  const title = folders.map(escapeHtml).join(' and ');
  const figures = [
    ['PSNR', metrics.psnr?.value],
    ['identical pairs', metrics.pairing && metrics.identical],
    ['LPIPS', metrics.lpips?.value],
    ['FID', metrics.fid],
    ['KID', metrics.kid],
  ] as const;
  const head = figures.flatMap(([name, value]) =>
    value === undefined ? [] : [`<tr><th scope="row">${name}</th><td>${pythonFloat(value)}</td></tr>`],
  );
  return writeText(
    path,
    `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Metrics of ${title}</title>
<style>
${STYLE}
</style>
</head>
<body>
<h1>${title}</h1>
<table>
${head.join('\n')}
</table>
${metrics.problems.map(({ message }) => `<p>${escapeHtml(message)}</p>\n`).join('')}<h2>Pairs</h2>
<table>
<thead><tr><th>image</th><th>PSNR (dB)</th><th>LPIPS</th></tr></thead>
<tbody>
${metrics.pairs.map(htmlRow).join('\n')}
</tbody>
</table>
</body>
</html>
`,
  );
}

function htmlRow({ names, psnr, lpips, problem }: PairResult): string {
  const name = escapeHtml(names[0] === names[1] ? names[0] : names.join(' / '));
  if (problem && psnr === undefined)
    return `<tr><td>${name}</td><td colspan="2">${escapeHtml(problem.message)}</td></tr>`;
  const ratio = psnr === undefined ? '' : Number.isFinite(psnr) ? psnr.toFixed(3) : 'identical';
  return `<tr><td>${name}</td><td>${ratio}</td><td>${lpips?.toFixed(6) ?? ''}</td></tr>`;
}

async function writeText(path: string, text: string): Promise<void> {
  const target = resolve(path);
  try {
    await writeAtomically(target, (handle) => writeExactly(handle, Buffer.from(text, 'utf8'), 0));
  } catch (error) {
    throw fileError(error, target, 'output');
  }
}
