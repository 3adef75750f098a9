import { access, constants } from 'node:fs/promises';
import { fileError } from '../base/file-io.js';
import { unlessInterrupted } from '../base/interruption.js';
import {
  compareFolders,
  type MetricName,
  type Metrics,
  type MetricsObserver,
  type NetworkLoaders,
} from '../metrics/compute.js';
import type { Download } from '../metrics/network-files.js';
import { type Observer, type Progress, silent } from './observer.js';

/**
 * How two folders of images are compared. Names are those of distrifuser's scripts/compute_metrics.py, in
 * camel case.
 */
export interface MetricsOptions {
  /** By default PSNR, LPIPS and FID. */
  readonly metrics?: readonly MetricName[] | undefined;
  /** The first folder is ground truth: its images are resized to 1024 x 1024 for PSNR and LPIPS. */
  readonly isGt?: boolean | undefined;
  /**
   * Images that go through Inception together, at most 8; strict: pairs that have to be of one size. By
   * default 64.
   */
  readonly batchSize?: number | undefined;
  /** Images that are decoded at a time; by default 8. */
  readonly numWorkers?: number | undefined;
  /** Do as the reference's script does, also where that is hardly what anybody wants. */
  readonly strictReference?: boolean | undefined;
  /**
   * Files of AlexNet and of LPIPS' heads; by default AlexNet's where torch keeps it, or downloaded, and the
   * heads of this package.
   */
  readonly lpipsWeights?: readonly string[] | undefined;
  /** File of Inception; by default looked for, or downloaded. */
  readonly fidWeights?: string | undefined;
  /** Never download. */
  readonly offline?: boolean | undefined;
  /** Of the networks; by default one for each CPU. */
  readonly threads?: number | undefined;
  /** Told of problems and of progress; by default nobody is. */
  readonly observer?: Observer | undefined;
  /** Told the reference's lines that are no figures; by default the observer is. */
  readonly report?: ((line: string) => void) | undefined;
  /** Ends the comparison, which then rejects. */
  readonly signal?: AbortSignal | undefined;
}

/** Images whose activations are in memory at once. */
const MOST_IN_BATCH = 8;

/**
 * Compares the images of two folders as distrifuser's scripts/compute_metrics.py: PSNR (dB) and LPIPS of
 * images of the same name, FID and KID of all images. What fails of one metric, pair or file is among the
 * result's `problems`. Rejects with a `DistriError` where a folder can't be listed, and strict where anything
 * fails.
 */
export async function computeMetrics(
  inputRoot0: string,
  inputRoot1: string,
  options: MetricsOptions = {},
): Promise<Metrics> {
  const { batchSize = 64, numWorkers = 8, signal = new AbortController().signal } = options;
  const weights = [...(options.lpipsWeights ?? []), ...(options.fidWeights ? [options.fidWeights] : [])];
  for (const file of weights) await requireReadable(file);
  const { observer = silent, report = observer.note } = options;
  const shown = new ShownProgress(observer, report);
  const request = {
    folders: [inputRoot0, inputRoot1],
    metrics: options.metrics ?? ['psnr', 'lpips', 'fid'],
    groundTruth: options.isGt === true,
    strict: options.strictReference === true,
    pairsPerBatch: batchSize,
    imagesPerBatch: Math.min(batchSize, MOST_IN_BATCH),
    workers: Math.max(numWorkers, 1),
  } as const;
  try {
    return await compareFolders(request, networkLoaders(options, shown, signal), shown, signal);
  } finally {
    shown.stop();
  }
}

async function requireReadable(file: string): Promise<void> {
  await access(file, constants.R_OK).catch((error) => {
    throw fileError(error, file);
  });
}

function networkLoaders(
  { lpipsWeights = [], fidWeights, threads, offline = false }: MetricsOptions,
  shown: ShownProgress,
  signal: AbortSignal,
): NetworkLoaders {
  const onDownload = ({ name, size }: Download, done: number) =>
    shown.progress(`downloading ${name}`, megabytes(done), megabytes(size), 'MB');
  const load = { threads, offline, onDownload };
  return {
    lpips: async () => {
      const { loadLpips } = await import('../metrics/load-networks.js');
      return unlessInterrupted(signal, loadLpips(lpipsWeights, load));
    },
    inception: async () => {
      const { loadInception } = await import('../metrics/load-networks.js');
      return unlessInterrupted(signal, loadInception(fidWeights, load));
    },
  };
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}

/** A progress for each thing that is gone through. */
class ShownProgress implements MetricsObserver {
  readonly #observer: Observer;
  readonly report: (line: string) => void;
  #shown: { readonly label: string; readonly progress: Progress } | undefined;

  constructor(observer: Observer, report: (line: string) => void) {
    this.#observer = observer;
    this.report = report;
  }

  progress(label: string, done: number, total: number, unit = 'images'): void {
    if (this.#shown?.label !== label) {
      this.stop();
      this.#shown = { label, progress: this.#observer.progress(total, unit) };
    }
    this.#shown.progress.update(done, label);
  }

  note(line: string): void {
    this.#observer.note(line);
  }

  stop(): void {
    this.#shown?.progress.stop();
    this.#shown = undefined;
  }
}
