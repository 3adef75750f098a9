import { Buffer } from 'node:buffer';
import { resolve } from 'node:path';
import { fileError, writeAtomically, writeExactly } from '../../base/file-io.js';
import { metricsPage } from '../../html/metrics-page.js';
import type { Metrics } from '../../metrics/compute.js';
import { pythonFloat } from './python-float.js';
import type { Terminal } from './terminal.js';

/** What was compared, by the command's options. */
export interface ComparedFolders {
  readonly input_root0: string;
  readonly input_root1: string;
  readonly is_gt?: true;
  readonly strict_reference?: true;
}

/** A figure as the reference prints it: PSNR and LPIPS as float32, FID and KID as float64. */
function figureText(metrics: Metrics, name: 'psnr' | 'lpips' | 'fid' | 'kid'): string | undefined {
  const figure = metrics[name];
  if (figure === undefined) return undefined;
  return pythonFloat(typeof figure === 'number' ? figure : Math.fround(figure.value));
}

/** Prints the figures in the reference's lines. */
export function printMetrics(metrics: Metrics, terminal: Terminal): void {
  const { psnr, identical, pairs } = metrics;
  const figure = (title: string, name: Parameters<typeof figureText>[1]) => {
    const text = figureText(metrics, name);
    if (text !== undefined) terminal.result(`${title}: ${text}`);
  };
  figure('PSNR', 'psnr');
  if (!psnr && identical > 0) terminal.result('PSNR: inf');
  if (psnr && identical > 0 && Number.isFinite(psnr.value)) {
    terminal.report(`PSNR is the mean of ${psnr.pairs} pairs; ${identical} of ${pairs.length} are identical`);
  }
  figure('LPIPS', 'lpips');
  figure('FID', 'fid');
  figure('KID', 'kid');
}

/** Writes what `--json` names. An infinite PSNR is the text "inf". */
export function writeMetricsJson(path: string, of: ComparedFolders, metrics: Metrics): Promise<void> {
  const { input_root0, input_root1, is_gt = false, strict_reference = false } = of;
  const { pairing, pairs, identical, psnr, lpips, images, fid, kid, problems } = metrics;
  const record = {
    input_root0,
    input_root1,
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

/** Writes what `--html` names: the figures, and a table of all pairs. */
export async function writeMetricsPage(path: string, of: ComparedFolders, metrics: Metrics): Promise<void> {
  const folders = [of.input_root0, of.input_root1] as const;
  await writeText(path, await metricsPage(folders, metrics, (name) => figureText(metrics, name)));
}

async function writeText(path: string, text: string): Promise<void> {
  const target = resolve(path);
  try {
    await writeAtomically(target, (handle) => writeExactly(handle, Buffer.from(text, 'utf8'), 0));
  } catch (error) {
    throw fileError(error, target, 'output');
  }
}
