import { access, constants } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { DistriError } from '../base/errors.js';
import { fileError } from '../base/file-io.js';
import { unlessInterrupted } from '../base/interruption.js';
import {
  computeMetrics,
  type MetricName,
  type MetricsObserver,
  type MetricsRequest,
  metricNames,
  type NetworkLoaders,
} from '../metrics/compute.js';
import { loadInception, loadLpips } from '../metrics/load-networks.js';
import type { Download } from '../metrics/network-files.js';
import { integer, oneOf, type Parser, repeated, text } from './options/parsers.js';
import { printMetrics, writeHtml, writeJson } from './output/metrics.js';
import { type Progress, Terminal, type Verbosity } from './output/terminal.js';

const examples = `
PSNR and LPIPS compare images of the same name (extensions may differ), FID and KID all images of both folders.
Weights are taken from torch's and clean-fid's folders, or downloaded: AlexNet (233 MiB) for LPIPS, Inception (91 MiB) for FID and KID.

Examples:
  distri compute-metrics --input_root0 results/one --input_root1 results/two
  distri compute-metrics --input_root0 coco/images --input_root1 results/coco/images --is_gt
  distri compute-metrics --input_root0 a --input_root1 b --metrics psnr,lpips --lpips_weights alexnet.pth
  distri compute-metrics --input_root0 a --input_root1 b --json metrics.json --html metrics.html`;

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

/** `distri compute-metrics`. `interruption` is aborted when the user wants it to end. */
export function computeMetricsCommand(interruption: AbortSignal): Command {
  const command = new Command('compute-metrics')
    .description('Compare the images of two folders: PSNR, LPIPS, FID and KID.')
    .addOption(
      new Option('--input_root0 <folder>', 'images of one side; ground truth with --is_gt')
        .argParser(text('--input_root0'))
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--input_root1 <folder>', 'images of the other side')
        .argParser(text('--input_root1'))
        .makeOptionMandatory(),
    )
    .addOption(new Option('--is_gt', 'resize the images of --input_root0 to 1024x1024 for PSNR and LPIPS'))
    .addOption(
      new Option('--metrics <names>', `some of ${metricNames.join(',')}`)
        .argParser(listOf('--metrics', metricNames))
        .default(['psnr', 'lpips', 'fid'], 'psnr,lpips,fid'),
    );
  return addRunOptions(addWeightOptions(command))
    .addHelpText('after', examples)
    .action((options: MetricsOptions, command: Command) =>
      runMetrics(options, verbosity(command), interruption),
    );
}

function addWeightOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--lpips_weights <file>',
        'AlexNet and, if not the usual ones, the heads of LPIPS: .pth or .safetensors; may be repeated',
      ).argParser(repeated(text('--lpips_weights'))),
    )
    .addOption(
      new Option('--fid_weights <file>', 'Inception for FID and KID: .pth, .pt or .safetensors').argParser(
        text('--fid_weights'),
      ),
    )
    .addOption(new Option('--offline', 'never download weights'));
}

function addRunOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--batch_size <n>', 'images that go through Inception together, at most 8')
        .argParser(integer('--batch_size', 1))
        .default(64),
    )
    .addOption(
      new Option('--num_workers <n>', 'images that are decoded at a time')
        .argParser(integer('--num_workers', 0))
        .default(8),
    )
    .addOption(
      new Option('--threads <n>', 'threads of the networks; by default one for each processor').argParser(
        integer('--threads', 1),
      ),
    )
    .addOption(
      new Option(
        '--strict_reference',
        "do as distrifuser's compute_metrics.py does: pair by position, stored values of palettes, infinite means, all or nothing",
      ),
    )
    .addOption(new Option('--json <file>', 'write all figures').argParser(text('--json')))
    .addOption(new Option('--html <file>', 'write a table of all pairs').argParser(text('--html')));
}

/** Names divided by commas, each once. */
function listOf<T extends string>(option: string, values: readonly T[]): Parser<readonly T[]> {
  const parse = oneOf(option, values);
  return (names) => [...new Set(names.split(',').map((name) => parse(name.trim())))];
}

function verbosity(command: Command): Verbosity {
  const { quiet, verbose } = command.optsWithGlobals<{ quiet?: true; verbose?: true }>();
  if (quiet) return 'quiet';
  return verbose ? 'verbose' : 'normal';
}

/** Images whose activations are in memory at once. */
const MOST_IN_BATCH = 8;

async function runMetrics(
  options: MetricsOptions,
  verbosity: Verbosity,
  interruption: AbortSignal,
): Promise<void> {
  const strict = options.strict_reference === true;
  const request: MetricsRequest = {
    folders: [options.input_root0, options.input_root1],
    metrics: options.metrics,
    groundTruth: options.is_gt === true,
    strict,
    pairsPerBatch: options.batch_size,
    imagesPerBatch: Math.min(options.batch_size, MOST_IN_BATCH),
    workers: Math.max(options.num_workers, 1),
  };
  for (const file of [options.json, options.html]) if (file !== undefined) await checkWritable(file);
  const weights = [...(options.lpips_weights ?? []), ...(options.fid_weights ? [options.fid_weights] : [])];
  for (const file of weights) await checkReadable(file);
  const terminal = new Terminal(verbosity);
  const observer = new TerminalObserver(terminal);
  const metrics = await computeMetrics(
    request,
    networkLoaders(options, observer, interruption),
    observer,
    interruption,
  ).finally(() => observer.stop());
  printMetrics(metrics, terminal);
  if (options.json !== undefined) await writeJson(options.json, request, metrics);
  if (options.html !== undefined) await writeHtml(options.html, request, metrics);
  const [first, ...others] = metrics.problems;
  if (first === undefined) return;
  const more = others.length === 0 ? '' : ` (and ${others.length} more, above)`;
  throw new DistriError(first.code, `${first.message}${more}`, { cause: first });
}

async function checkReadable(file: string): Promise<void> {
  await access(file, constants.R_OK).catch((error) => {
    throw fileError(error, file);
  });
}

async function checkWritable(file: string): Promise<void> {
  const folder = dirname(resolve(file));
  await access(folder, constants.W_OK).catch((error) => {
    throw fileError(error, folder, 'output');
  });
}

function networkLoaders(
  options: MetricsOptions,
  observer: TerminalObserver,
  interruption: AbortSignal,
): NetworkLoaders {
  const { lpips_weights = [], fid_weights, threads, offline = false } = options;
  const onDownload = ({ name, size }: Download, done: number) =>
    observer.progress(`downloading ${name}`, mebibytes(done), mebibytes(size), 'MiB');
  const load = { threads, offline, onDownload };
  return {
    lpips: () => unlessInterrupted(interruption, loadLpips(lpips_weights, load)),
    inception: () => unlessInterrupted(interruption, loadInception(fid_weights, load)),
  };
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

/** A bar for each thing that is gone through. */
class TerminalObserver implements MetricsObserver {
  private shown: { readonly label: string; readonly progress: Progress } | undefined;

  constructor(private readonly terminal: Terminal) {}

  progress(label: string, done: number, total: number, unit = 'images'): void {
    if (this.shown?.label !== label) {
      this.stop();
      this.shown = { label, progress: this.terminal.progress(total, unit) };
    }
    this.shown.progress.update(done, label);
  }

  stop(): void {
    this.shown?.progress.stop();
    this.shown = undefined;
  }

  report(line: string): void {
    this.terminal.report(line);
  }

  note(line: string): void {
    this.terminal.note(line);
  }
}
