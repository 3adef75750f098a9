import { access, constants } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Command } from 'commander';
import { computeMetrics } from '../app/metrics.js';
import { DistriError } from '../base/errors.js';
import { fileError } from '../base/file-io.js';
import { type MetricName, metricNames } from '../metrics/compute.js';
import type { CommandContext } from './context.js';
import { atLeast, flag, list, value, withDefault } from './options/build.js';
import { oneOf, type Parser, text } from './options/parsers.js';
import { exampleLines } from './output/examples.js';
import { printMetrics, writeMetricsJson, writeMetricsPage } from './output/metrics.js';
import { type Terminal, terminalOf } from './output/terminal.js';

const explanation = `
PSNR and LPIPS compare images of the same name (extensions may differ), FID and KID all images of both folders.
Weights are taken from torch's and clean-fid's folders, or downloaded: AlexNet (233 MiB) for LPIPS, Inception (91 MiB) for FID and KID.`;

const examples = [
  '--input_root0 results/one --input_root1 results/two',
  '--input_root0 coco/images --input_root1 results/coco/ddim-50/gpus1-warmup4-corrected_async_gn --is_gt',
  '--input_root0 a --input_root1 b --metrics psnr,lpips --lpips_weights alexnet.pth',
  '--input_root0 a --input_root1 b --json metrics.json --html metrics.html',
];

export interface MetricsOptions {
  readonly input_root0: string;
  readonly input_root1: string;
  readonly is_gt?: true;
  readonly batch_size: number;
  readonly num_workers: number;
  readonly metrics: readonly MetricName[];
  readonly lpips_weights?: readonly string[];
  readonly fid_weights?: string;
  readonly offline?: true;
  readonly threads?: number;
  readonly strict_reference?: true;
  readonly json?: string;
  readonly html?: string;
}

/** `distri compute-metrics`. */
export function computeMetricsCommand({ signal }: CommandContext): Command {
  const command = new Command('compute-metrics')
    .description('Compare the images of two folders: PSNR, LPIPS, FID and KID.')
    .addOption(
      value(
        '--input_root0 <folder>',
        'images of one side; ground truth with --is_gt',
        text,
      ).makeOptionMandatory(),
    )
    .addOption(value('--input_root1 <folder>', 'images of the other side', text).makeOptionMandatory())
    .addOption(flag('--is_gt', 'resize the images of --input_root0 to 1024x1024 for PSNR and LPIPS'))
    .addOption(
      value('--metrics <names>', `some of ${metricNames.join(',')}`, (option) =>
        listOf(option, metricNames),
      ).default(['psnr', 'lpips', 'fid'], 'psnr,lpips,fid'),
    );
  return addRunOptions(addWeightOptions(command))
    .addHelpText('after', explanation)
    .addHelpText('after', exampleLines('compute-metrics', examples))
    .action(() => runMetrics(command.opts<MetricsOptions>(), terminalOf(command), signal));
}

function addWeightOptions(command: Command): Command {
  return command
    .addOption(
      list(
        '--lpips_weights <file>',
        'AlexNet and, if not the usual ones, the heads of LPIPS: .pth or .safetensors; may be repeated',
        text,
      ),
    )
    .addOption(value('--fid_weights <file>', 'Inception for FID and KID: .pth, .pt or .safetensors', text))
    .addOption(flag('--offline', 'never download weights'));
}

function addRunOptions(command: Command): Command {
  return command
    .addOption(
      withDefault('--batch_size <n>', 'images that go through Inception together, at most 8', 64, atLeast(1)),
    )
    .addOption(withDefault('--num_workers <n>', 'images that are decoded at a time', 8, atLeast(0)))
    .addOption(
      value('--threads <n>', 'threads of the networks; by default one for each processor', atLeast(1)),
    )
    .addOption(
      flag(
        '--strict_reference',
        "do as distrifuser's compute_metrics.py does: pair by position, stored values of palettes, infinite means, all or nothing",
      ),
    )
    .addOption(value('--json <file>', 'write all figures', text))
    .addOption(value('--html <file>', 'write a table of all pairs', text));
}

/** Names divided by commas, each once. */
function listOf<T extends string>(option: string, values: readonly T[]): Parser<readonly T[]> {
  const parse = oneOf(option, values);
  return (names) => [...new Set(names.split(',').map((name) => parse(name.trim())))];
}

async function runMetrics(options: MetricsOptions, terminal: Terminal, signal: AbortSignal): Promise<void> {
  for (const file of [options.json, options.html]) if (file !== undefined) await checkWritable(file);
  const metrics = await computeMetrics(options.input_root0, options.input_root1, {
    metrics: options.metrics,
    isGt: options.is_gt,
    batchSize: options.batch_size,
    numWorkers: options.num_workers,
    strictReference: options.strict_reference,
    lpipsWeights: options.lpips_weights,
    fidWeights: options.fid_weights,
    offline: options.offline,
    threads: options.threads,
    observer: terminal,
    report: (line) => terminal.report(line),
    signal,
  });
  printMetrics(metrics, terminal);
  if (options.json !== undefined) await writeMetricsJson(options.json, options, metrics);
  if (options.html !== undefined) await writeMetricsPage(options.html, options, metrics);
  const [first, ...others] = metrics.problems;
  if (first === undefined) return;
  const more = others.length === 0 ? '' : ` (and ${others.length} more, above)`;
  throw new DistriError(first.code, `${first.message}${more}`, { cause: first });
}

async function checkWritable(file: string): Promise<void> {
  const folder = dirname(resolve(file));
  await access(folder, constants.W_OK).catch((error) => {
    throw fileError(error, folder, 'output');
  });
}
