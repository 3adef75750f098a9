import { join } from 'node:path';
import { DistriError, toError } from '../base/errors.js';
import type { Image } from '../images/pixels.js';
import { resizeBilinear } from '../images/resample.js';
import { loadAhead } from './ahead.js';
import type { LpipsNetwork } from './networks/types.js';
import type { Pair } from './pairing.js';
import { psnr } from './psnr.js';

/** The side that `--is_gt` resizes ground truth to. */
const GROUND_TRUTH_SIDE = 1024;

/** Figures of a pair, and why some are missing. */
export interface PairResult {
  /** Of the files, one in each folder. */
  readonly names: Pair;
  /** In dB; Infinity for identical images. */
  readonly psnr?: number;
  /** 0 for identical images. */
  readonly lpips?: number;
  /** Why a figure is missing. */
  readonly problem?: DistriError;
}

export interface PairComparison {
  readonly folders: readonly [string, string];
  readonly read: (path: string) => Promise<Image>;
  /** Whether images of the first folder are resized to 1024x1024. */
  readonly groundTruth: boolean;
  readonly psnr: boolean;
  readonly lpips: LpipsNetwork | undefined;
  /** How many pairs are decoded at a time. */
  readonly workers: number;
}

/** Compares pairs in their order. What is wrong with a pair is part of its result. */
export async function* comparePairs(
  pairs: readonly Pair[],
  comparison: PairComparison,
): AsyncGenerator<PairResult & { readonly images?: readonly [Image, Image] }> {
  const load = (pair: Pair) => readPair(pair, comparison);
  for await (const { item: names, loaded } of loadAhead(pairs, comparison.workers, load)) {
    if (loaded instanceof DistriError) {
      yield { names, problem: loaded };
      continue;
    }
    if (loaded instanceof Error) throw loaded;
    const [a, b] = loaded;
    const ratio = comparison.psnr ? { psnr: psnr(a.pixels, b.pixels) } : {};
    const distance = comparison.lpips ? await lpipsOf(names, loaded, comparison.lpips) : {};
    yield { names, images: loaded, ...ratio, ...distance };
  }
}

async function lpipsOf(
  [name]: Pair,
  [a, b]: readonly [Image, Image],
  network: LpipsNetwork,
): Promise<Pick<PairResult, 'lpips' | 'problem'>> {
  try {
    return { lpips: await network.distance(planes(a), planes(b), a.height, a.width) };
  } catch (error) {
    const { code, message } = asProblem(error);
    return { problem: new DistriError(code, `LPIPS of ${name}: ${message}`, { cause: error }) };
  }
}

/** An error that may be printed beside the results; what is none for users is `internal`. */
export function asProblem(error: unknown): DistriError {
  if (error instanceof DistriError) return error;
  return new DistriError('internal', toError(error).message, { cause: error });
}

async function readPair(
  [first, second]: Pair,
  { folders, read, groundTruth }: PairComparison,
): Promise<readonly [Image, Image]> {
  const paths = [join(folders[0], first), join(folders[1], second)] as const;
  const [original, b] = await Promise.all([read(paths[0]), read(paths[1])]);
  const a = groundTruth ? resizeGroundTruth(original) : original;
  if (a.width !== b.width || a.height !== b.height) {
    const advice = groundTruth
      ? ' (--is_gt resizes the first)'
      : '; --is_gt resizes ground truth to 1024x1024';
    throw new DistriError(
      'dataset',
      `${paths[0]} is ${a.width}x${a.height} and ${paths[1]} is ${b.width}x${b.height}: not compared${advice}`,
    );
  }
  return [a, b];
}

function resizeGroundTruth(image: Image): Image {
  const size = { width: GROUND_TRUTH_SIDE, height: GROUND_TRUTH_SIDE };
  return { ...size, pixels: resizeBilinear(image.pixels, image, size) };
}

/** [3, height, width] in [0, 1]. */
/** [3, height, width] with red, green and blue in [0, 1]. */
export function planes({ width, height, pixels }: Image): Float32Array {
  const area = width * height;
  const values = new Float32Array(3 * area);
  for (let i = 0; i < area; i++) {
    values[i] = (pixels[3 * i] as number) / 255;
    values[area + i] = (pixels[3 * i + 1] as number) / 255;
    values[2 * area + i] = (pixels[3 * i + 2] as number) / 255;
  }
  return values;
}
