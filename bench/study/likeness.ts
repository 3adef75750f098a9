import { basename, dirname } from 'node:path';
import { mean } from '../../src/base/numbers.js';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { readImage } from '../../src/images/pixels.js';
import { planes } from '../../src/metrics/compare-pairs.js';
import { featureDistance } from '../../src/metrics/distances.js';
import { folderFeatures } from '../../src/metrics/folder-features.js';
import type { FeatureNetwork, LpipsNetwork } from '../../src/metrics/networks/types.js';
import { psnr } from '../../src/metrics/psnr.js';
import type { Mode } from '../modes.js';
import type { DrawnSetting } from './draw.js';
import { type Setting, settingName } from './grid.js';

/** How like those of one rank the pictures of every setting are, by one measure. */
export interface Likeness {
  readonly name: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly digits: number;
  /** Of each picture, by the setting's name. Infinite where a picture equals that of one rank. */
  readonly perPicture: ReadonlyMap<string, readonly number[]>;
  /** There is one value for all pictures of a setting together. */
  readonly ofSets?: boolean;
}

/** PSNR of every picture against that of one rank. */
export async function measurePsnr(alone: DrawnSetting, drawn: readonly DrawnSetting[]): Promise<Likeness> {
  const perPicture = await eachPicture(alone, drawn, async (path, reference) =>
    psnr((await readImage(path)).pixels, (await readImage(reference)).pixels),
  );
  return { name: 'PSNR', unit: 'dB', better: 'higher', digits: 2, perPicture };
}

/** The mean over the pictures that differ from those of one rank; undefined where none does. */
export function meanLikeness({ perPicture }: Likeness, setting: Setting): number | undefined {
  const finite = (perPicture.get(settingName(setting)) ?? []).filter(Number.isFinite);
  return finite.length === 0 ? undefined : mean(finite);
}

/**
 * Modes from the closest to one rank's pictures to the furthest, on average over their settings; first those
 * that equal them.
 */
export function closestFirst(
  likeness: Likeness,
  modes: readonly Mode[],
  settings: readonly Setting[],
): readonly Mode[] {
  const sign = likeness.better === 'higher' ? -1 : 1;
  const distance = (mode: Mode) => {
    const own = settings.filter((setting) => setting.mode === mode);
    const values = own.flatMap((setting) => meanLikeness(likeness, setting) ?? []);
    return values.length === 0 ? Number.NEGATIVE_INFINITY : sign * mean(values);
  };
  const distances = new Map(modes.map((mode) => [mode, distance(mode)]));
  return modes.toSorted((a, b) => (distances.get(a) as number) - (distances.get(b) as number));
}

/**
 * How much closer to one rank's pictures `setting` is than `other`: the mean difference over pictures, and
 * its standard error.
 */
export interface Comparison {
  readonly difference: number;
  readonly error: number;
}

/** Positive where `setting` is closer. Pictures that equal one rank's in either are left out. */
export function compareSettings(
  { perPicture, better }: Likeness,
  setting: Setting,
  other: Setting,
): Comparison {
  const own = perPicture.get(settingName(setting)) ?? [];
  const others = perPicture.get(settingName(other)) ?? [];
  const sign = better === 'higher' ? 1 : -1;
  const differences = own
    .map((value, index) => sign * (value - (others[index] ?? Number.NaN)))
    .filter(Number.isFinite);
  const difference = mean(differences);
  const squares = differences.map((value) => (value - difference) ** 2);
  const { length } = differences;
  return { difference, error: Math.sqrt((mean(squares) * length) / (length - 1) / length) };
}

/** LPIPS of every picture against that of one rank. */
export async function measureLpips(
  alone: DrawnSetting,
  drawn: readonly DrawnSetting[],
  network: LpipsNetwork,
): Promise<Likeness> {
  const perPicture = await eachPicture(alone, drawn, async (path, reference) => {
    const image = await readImage(path);
    return network.distance(planes(image), planes(await readImage(reference)), image.height, image.width);
  });
  return { name: 'LPIPS', unit: '', better: 'lower', digits: 3, perPicture };
}

/** FID of all pictures of a setting against those of one rank. */
export async function measureFid(
  alone: DrawnSetting,
  drawn: readonly DrawnSetting[],
  network: FeatureNetwork,
  interruption: AbortSignal,
): Promise<Likeness> {
  const features = ({ paths }: DrawnSetting) => featuresOf(paths, network, interruption);
  const reference = await features(alone);
  const perPicture = new Map<string, readonly number[]>();
  for (const setting of drawn) {
    const distance = await featureDistance(
      { name: 'fid', a: await features(setting), b: reference },
      interruption,
    );
    perPicture.set(settingName(setting.setting), [distance]);
  }
  return { name: 'FID', unit: '', better: 'lower', digits: 2, perPicture, ofSets: true };
}

async function featuresOf(paths: readonly string[], network: FeatureNetwork, interruption: AbortSignal) {
  const features = await folderFeatures(
    dirname(paths[0] as string),
    paths.map((path) => basename(path)),
    { network, batch: 4, workers: 2, onImage: () => interruption.throwIfAborted() },
  );
  const [problem] = features.problems;
  if (problem) throw problem;
  return features;
}

/** |latents - those of one rank| / |those of one rank|, of every picture. */
export async function measureLatents(alone: DrawnSetting, drawn: readonly DrawnSetting[]): Promise<Likeness> {
  const own = drawn.map(({ setting, latents }) => ({ setting, paths: latents, latents }));
  const perPicture = await eachPicture({ ...alone, paths: alone.latents }, own, async (path, reference) =>
    relativeDifference(await readLatents(path), await readLatents(reference)),
  );
  return { name: 'Latents', unit: 'relative difference', better: 'lower', digits: 4, perPicture };
}

async function readLatents(path: string): Promise<Float32Array> {
  const { data } = await (await SafetensorsFile.open(path)).read('latents');
  return data as Float32Array;
}

/** In the 2-norm. */
export function relativeDifference(values: Float32Array, reference: Float32Array): number {
  let squares = 0;
  let whole = 0;
  reference.forEach((expected, index) => {
    squares += ((values[index] as number) - expected) ** 2;
    whole += expected ** 2;
  });
  return Math.sqrt(squares / whole);
}

/** By the setting's name, what `measure` says of each picture and that of one rank. */
async function eachPicture(
  alone: DrawnSetting,
  drawn: readonly DrawnSetting[],
  measure: (path: string, reference: string) => Promise<number>,
): Promise<Map<string, number[]>> {
  const perPicture = new Map<string, number[]>();
  for (const { setting, paths } of drawn) {
    const values: number[] = [];
    for (const [index, path] of paths.entries()) {
      values.push(await measure(path, alone.paths[index] as string));
    }
    perPicture.set(settingName(setting), values);
  }
  return perPicture;
}
