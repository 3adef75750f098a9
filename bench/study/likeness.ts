import { readImage } from '../../src/metrics/image.js';
import { psnr } from '../../src/metrics/psnr.js';
import { mean } from '../../src/report/statistics.js';
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
}

/** PSNR of every picture against that of one rank. */
export async function measurePsnr(alone: DrawnSetting, drawn: readonly DrawnSetting[]): Promise<Likeness> {
  const references = await Promise.all(alone.paths.map(readImage));
  const perPicture = new Map<string, number[]>();
  for (const { setting, paths } of drawn) {
    const values: number[] = [];
    for (const [index, path] of paths.entries()) {
      const reference = references[index];
      if (reference) values.push(psnr((await readImage(path)).pixels, reference.pixels));
    }
    perPicture.set(settingName(setting), values);
  }
  return { name: 'PSNR', unit: 'dB', better: 'higher', digits: 2, perPicture };
}

/** The mean over the pictures that differ from those of one rank; undefined where none does. */
export function meanLikeness({ perPicture }: Likeness, setting: Setting): number | undefined {
  const finite = (perPicture.get(settingName(setting)) ?? []).filter(Number.isFinite);
  return finite.length === 0 ? undefined : mean(finite);
}

/** How much closer to one rank's pictures `setting` is than `other`: the mean difference over pictures, and its standard error. */
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
