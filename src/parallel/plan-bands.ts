import { DistriError } from '../base/errors.js';
import { splitEvenly, splitRows } from '../base/split.js';
import { Bands } from '../graph/region.js';

/**
 * The bands of an image for a model that halves its rows `halvings` times (rounding up): the rows of the
 * smallest level are shared out as evenly as they go, and every level above follows. Refuses more bands than
 * there are rows at that level.
 */
export function planBands(rows: number, halvings: number, bands: number): Bands {
  const smallest = smallestRows(rows, halvings);
  if (bands > smallest) {
    throw new DistriError(
      'usage',
      `${bands} bands of rows are too many for this image: its smallest level has ${smallest} rows; ` +
        `at most ${smallest} ranks per image, or a higher image, would work`,
    );
  }
  return followLevels(rows, halvings, bands);
}

function followLevels(rows: number, halvings: number, bands: number): Bands {
  if (halvings === 0) return new Bands(splitRows(rows, bands));
  const below = followLevels(Math.ceil(rows / 2), halvings - 1, bands);
  return new Bands(below.cuts.map((cut) => Math.min(2 * cut, rows)));
}

/**
 * Bands for a transformer whose tokens are squares of `patchSize` rows: all of the same height but the last,
 * as the public project xDiT has it. Where that would leave bands empty they are as even as they go.
 */
export function gridBands(rows: number, patchSize: number, bands: number): Bands {
  const units = rows / patchSize;
  const height = Math.ceil(units / bands);
  if (Math.ceil(units / height) < bands) return evenGridBands(rows, patchSize, bands);
  return new Bands(Array.from({ length: bands + 1 }, (_, band) => Math.min(band * height * patchSize, rows)));
}

/** The same, with bands as even as they go. */
export function evenGridBands(rows: number, patchSize: number, bands: number): Bands {
  const units = rows / patchSize;
  if (bands > units) {
    throw new DistriError(
      'usage',
      `${bands} bands of rows are too many for this image: it has ${units} rows of tokens; ` +
        `at most ${units} ranks per image, or a higher image, would work`,
    );
  }
  return new Bands(splitEvenly(units, bands).map((cut) => cut * patchSize));
}

/**
 * Rows of the smallest level of a model that halves them `halvings` times: no more bands than that are
 * possible.
 */
export function smallestRows(rows: number, halvings: number): number {
  let smallest = rows;
  for (let level = 0; level < halvings; level++) smallest = Math.ceil(smallest / 2);
  return smallest;
}
