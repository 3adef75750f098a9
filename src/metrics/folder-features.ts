import { join } from 'node:path';
import { DistriError } from '../base/errors.js';
import { readImage } from '../images/pixels.js';
import { resizeBicubic } from '../images/resample.js';
import { loadAhead } from './ahead.js';
import type { FeatureSet } from './feature-set.js';
import type { FeatureNetwork } from './networks/types.js';

/** What Inception sees, and what it makes of it. */
const SIDE = 299;
const DIMENSION = 2048;
const PIXELS = SIDE * SIDE * 3;

export interface FolderFeatures extends FeatureSet {
  /** One for each file that could not be read and is not among the features. */
  readonly problems: readonly DistriError[];
}

interface FeatureOptions {
  readonly network: FeatureNetwork;
  /** Images that go through the network together. */
  readonly batch: number;
  /** How many images are decoded at a time. */
  readonly workers: number;
  readonly onImage: (done: number) => void;
}

/** Inception features of images as clean-fid computes them in its mode `clean`. */
export async function folderFeatures(
  folder: string,
  names: readonly string[],
  { network, batch, workers, onImage }: FeatureOptions,
): Promise<FolderFeatures> {
  const values = new Float32Array(names.length * DIMENSION);
  const pixels = new Float32Array(batch * PIXELS);
  const problems: DistriError[] = [];
  let waiting = 0;
  let count = 0;
  const flush = async () => {
    if (waiting === 0) return;
    const features = await network.features(pixels.subarray(0, waiting * PIXELS), waiting);
    values.set(features, count * DIMENSION);
    count += waiting;
    waiting = 0;
  };
  const load = (name: string) => readResized(join(folder, name));
  let done = 0;
  for await (const { loaded } of loadAhead(names, workers, load)) {
    if (loaded instanceof DistriError) problems.push(loaded);
    else if (loaded instanceof Error) throw loaded;
    else pixels.set(loaded, PIXELS * waiting++);
    if (waiting === batch) await flush();
    onImage(++done);
  }
  await flush();
  return { values: values.subarray(0, count * DIMENSION), count, dimension: DIMENSION, problems };
}

async function readResized(path: string): Promise<Float32Array> {
  const image = await readImage(path);
  const resized = new Float32Array(PIXELS);
  resizeBicubic(image.pixels, image, { width: SIDE, height: SIDE }, resized);
  return resized;
}
