import { join } from 'node:path';
import { DistriError } from '../base/errors.js';
import { mean } from '../base/numbers.js';
import { printable } from '../base/quote.js';
import { type Image, readImage } from '../images/pixels.js';
import { readStoredImage } from '../images/stored-image.js';
import { asProblem, comparePairs, type PairComparison, type PairResult } from './compare-pairs.js';
import { featureDistance } from './distances.js';
import { type FolderFeatures, folderFeatures } from './folder-features.js';
import { type Listing, referenceListing, sensibleListing } from './folders.js';
import type { FeatureNetwork, LpipsNetwork } from './networks/types.js';
import { type Pairing, pairByName, pairByPosition } from './pairing.js';

export const metricNames = ['psnr', 'lpips', 'fid', 'kid'] as const;
/** Of `--metrics`: two of pairs of images, two of whole folders. @useDeclaredType */
export type MetricName = (typeof metricNames)[number];

/**
 * How the networks are had. Each is called at most once, and only when a metric needs it; failures are
 * DistriErrors.
 */
export interface NetworkLoaders {
  lpips(): Promise<LpipsNetwork>;
  inception(): Promise<FeatureNetwork>;
}

export interface MetricsRequest {
  readonly folders: readonly [string, string];
  readonly metrics: readonly MetricName[];
  /** Whether the first folder is ground truth, resized to 1024x1024 for the metrics of pairs. */
  readonly groundTruth: boolean;
  /** Whether to do as the reference's script does, also where that is hardly what anybody wants. */
  readonly strict: boolean;
  /** Pairs that the reference joins to a batch, which must be of one size when strict. */
  readonly pairsPerBatch: number;
  /** Images that go through Inception together. */
  readonly imagesPerBatch: number;
  /** How many images or pairs are decoded at a time. */
  readonly workers: number;
}

/** Told of what goes on. */
export interface MetricsObserver {
  progress(label: string, done: number, total: number): void;
  /** A line of the reference's output that is not a figure. */
  report(line: string): void;
  /** What someone who reads the figures should know. */
  note(line: string): void;
}

/** The mean of a figure over pairs. */
export interface Mean {
  /** In the figure's own unit. */
  readonly value: number;
  /** How many pairs have the figure, and so are in the mean. */
  readonly pairs: number;
}

/** How two folders of images compare. A figure that was not asked for, or could not be had, is absent. */
export interface Metrics {
  /** Which images were compared; absent where no metric of pairs was asked for. */
  readonly pairing?: Pairing;
  /** Each pair by itself, in the order of `pairing`. */
  readonly pairs: readonly PairResult[];
  /** Pairs of identical images, which are not part of `psnr` unless strict. */
  readonly identical: number;
  /** Peak signal to noise ratio in dB, over pixels from 0 to 1; higher is closer. */
  readonly psnr?: Mean;
  /** With AlexNet, over pixels from -1 to 1: 0 for identical images; lower is closer. */
  readonly lpips?: Mean;
  /** How many images of each folder the distances are of. */
  readonly images?: readonly [number, number];
  /** Fréchet distance of Inception's features, as clean-fid computes it; lower is closer. */
  readonly fid?: number;
  /** Kernel distance of the same features, over all images; lower is closer, and it may be below 0. */
  readonly kid?: number;
  /** Why figures are missing, or what is missing from them. */
  readonly problems: readonly DistriError[];
}

/**
 * Compares two folders. What fails of one metric, pair or file is among the `problems` and the rest is
 * computed; strict requests throw the first one instead. Interruption, and folders that cannot be listed,
 * always throw.
 */
export async function compareFolders(
  request: MetricsRequest,
  loaders: NetworkLoaders,
  observer: MetricsObserver,
  interruption: AbortSignal,
): Promise<Metrics> {
  const run = new MetricsRun(request, loaders, observer, interruption);
  const ofPairs = await run.comparePairs();
  const ofFolders = await run.compareFolders();
  return { ...ofPairs, ...ofFolders, problems: run.problems };
}

class MetricsRun {
  readonly problems: DistriError[] = [];
  private readonly listing: Listing;

  constructor(
    private readonly request: MetricsRequest,
    private readonly loaders: NetworkLoaders,
    private readonly observer: MetricsObserver,
    private readonly interruption: AbortSignal,
  ) {
    this.listing = request.strict ? referenceListing : sensibleListing;
  }

  async comparePairs(): Promise<Pick<Metrics, 'pairing' | 'pairs' | 'identical' | 'psnr' | 'lpips'>> {
    const none = { pairs: [], identical: 0 };
    const withLpips = this.wants('lpips');
    if (!withLpips && !this.wants('psnr')) return none;
    const pairing = await this.attempt(() => this.pair());
    if (pairing === undefined) return none;
    const lpips = withLpips ? await this.attempt(() => this.loaders.lpips()) : undefined;
    try {
      if (lpips === undefined && !this.wants('psnr')) return none;
      const pairs = await this.comparedPairs(pairing, lpips);
      return { pairing, pairs, ...summarize(pairs, this.request.strict) };
    } finally {
      await lpips?.release();
    }
  }

  async compareFolders(): Promise<Pick<Metrics, 'images' | 'fid' | 'kid'>> {
    const wanted = (['fid', 'kid'] as const).filter((name) => this.wants(name));
    if (wanted.length === 0) return {};
    const features = await this.attempt(() => this.bothFeatures());
    if (features === undefined) return {};
    const [a, b] = features;
    const distances: { fid?: number; kid?: number } = {};
    for (const name of wanted) {
      this.observer.progress(name.toUpperCase(), 0, 1);
      const distance = await this.attempt(() => featureDistance({ name, a, b }, this.interruption));
      if (distance !== undefined) distances[name] = distance;
    }
    return { images: [a.count, b.count], ...distances };
  }

  private async pair(): Promise<Pairing> {
    const [first, second] = await Promise.all(this.request.folders.map(this.listing.pairs));
    const pairing = (this.request.strict ? pairByPosition : pairByName)(first ?? [], second ?? []);
    for (const [side, names] of pairing.alone.entries()) {
      const [example] = names;
      if (example === undefined) continue;
      const others = names.length === 1 ? '' : ` and ${names.length - 1} more`;
      const path = printable(join(this.request.folders[side] as string, example));
      this.observer.note(`${path}${others}: not paired`);
    }
    if (pairing.by === 'position' && !this.request.strict) {
      this.observer.note('No names match: files are paired by their position in the sorted folders');
    }
    return pairing;
  }

  private async comparedPairs(pairing: Pairing, lpips: LpipsNetwork | undefined): Promise<PairResult[]> {
    const comparison: PairComparison = {
      folders: this.request.folders,
      read: this.request.strict ? readStoredImage : readImage,
      groundTruth: this.request.groundTruth,
      psnr: this.wants('psnr'),
      lpips,
      workers: this.request.workers,
    };
    const sizes = new BatchSizes(this.request.pairsPerBatch);
    const results: PairResult[] = [];
    for await (const { images, ...result } of comparePairs(pairing.pairs, comparison)) {
      this.interruption.throwIfAborted();
      if (result.problem) this.fail(result.problem);
      if (images && this.request.strict) sizes.check(results.length, images[1], result.names[1]);
      results.push(result);
      this.observer.progress('pairs', results.length, pairing.pairs.length);
    }
    return results;
  }

  private async bothFeatures(): Promise<readonly [FolderFeatures, FolderFeatures]> {
    const [first, second] = this.request.folders;
    const [firstNames, secondNames] = [
      await this.listing.features(first),
      await this.listing.features(second),
    ];
    const network = await this.loaders.inception();
    try {
      this.observer.report('compute FID between two folders');
      this.observer.report(`Found ${firstNames.length} images in the folder ${first}`);
      this.observer.report(`Found ${secondNames.length} images in the folder ${second}`);
      return [
        await this.features(first, firstNames, network),
        await this.features(second, secondNames, network),
      ];
    } finally {
      await network.release();
    }
  }

  private async features(
    folder: string,
    names: readonly string[],
    network: FeatureNetwork,
  ): Promise<FolderFeatures> {
    const label = `features of ${folder}`;
    const features = await folderFeatures(folder, names, {
      network,
      batch: this.request.imagesPerBatch,
      workers: this.request.workers,
      onImage: (done) => {
        this.interruption.throwIfAborted();
        this.observer.progress(label, done, names.length);
      },
    });
    for (const problem of features.problems) this.fail(problem);
    return features;
  }

  private wants(name: MetricName): boolean {
    return this.request.metrics.includes(name);
  }

  /** What `work` gives, or nothing when it fails: other metrics may be had all the same. */
  private async attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.interruption.throwIfAborted();
      const problem = asProblem(error);
      if (problem.code === 'usage') throw problem;
      this.fail(problem);
      return undefined;
    }
  }

  private fail(problem: DistriError): void {
    if (this.request.strict) throw problem;
    // One file may be in the way of several metrics.
    if (this.problems.some(({ message }) => message === problem.message)) return;
    this.problems.push(problem);
    this.observer.note(problem.message);
  }
}

/** The reference joins images to batches, and can only do so when they are of one size. */
class BatchSizes {
  private first: Image | undefined;

  constructor(private readonly batch: number) {}

  check(index: number, image: Image, name: string): void {
    if (index % this.batch === 0) this.first = image;
    if (this.first?.width === image.width && this.first.height === image.height) return;
    throw new DistriError(
      'dataset',
      `${name}: its size differs from others of its batch; with --strict_reference --batch_size 1 takes mixed sizes`,
    );
  }
}

function summarize(
  pairs: readonly PairResult[],
  strict: boolean,
): Pick<Metrics, 'identical' | 'psnr' | 'lpips'> {
  const ratios = pairs.flatMap(({ psnr }) => psnr ?? []);
  const finite = ratios.filter(Number.isFinite);
  const psnr = meanOf(strict ? ratios : finite);
  const lpips = meanOf(pairs.flatMap(({ lpips }) => lpips ?? []));
  return {
    identical: ratios.length - finite.length,
    ...(psnr ? { psnr } : {}),
    ...(lpips ? { lpips } : {}),
  };
}

function meanOf(values: readonly number[]): Mean | undefined {
  return values.length === 0 ? undefined : { value: mean(values), pairs: values.length };
}
