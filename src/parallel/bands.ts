import { DistriError } from '../base/errors.js';
import { splitEvenly, splitRows } from '../base/split.js';

/**
 * Bands of whole rows at one level of the UNet: band p has rows `cuts[p]` to `cuts[p + 1]`.
 * A band of a lower level covers exactly the rows that its band of the level above becomes, so that convolutions of stride 2 and
 * upsampling stay inside a band but for a convolution's halo.
 */
export class RowBands {
  readonly cuts: readonly number[];

  constructor(cuts: readonly number[]) {
    this.cuts = cuts;
  }

  /**
   * Divides an image of `rows` rows for a model that halves them `halvings` times (rounding up): the rows of the smallest
   * level are shared out as evenly as they go, and every level above follows.
   */
  static plan(rows: number, halvings: number, bands: number): RowBands {
    if (halvings === 0) return new RowBands(splitRows(rows, bands));
    const below = RowBands.plan(Math.ceil(rows / 2), halvings - 1, bands);
    return new RowBands(below.cuts.map((cut) => Math.min(2 * cut, rows)));
  }

  /** The bands after a convolution of stride 2. */
  halved(): RowBands {
    return new RowBands(this.cuts.map((cut) => Math.ceil(cut / 2)));
  }

  /** The bands in units of `rows` rows, of which each has a whole number. */
  inUnitsOf(rows: number): RowBands {
    return new RowBands(this.cuts.map((cut) => cut / rows));
  }

  /** The bands of an image of twice the rows. */
  doubled(): RowBands {
    return new RowBands(this.cuts.map((cut) => 2 * cut));
  }

  start(band: number): number {
    return this.cuts[band] as number;
  }

  rows(band: number): number {
    return (this.cuts[band + 1] as number) - this.start(band);
  }

  get counts(): number[] {
    return this.cuts.slice(1).map((_, band) => this.rows(band));
  }

  get total(): number {
    return this.cuts.at(-1) as number;
  }
}

/** The bands of an image for a model that halves its rows so often, or why there can't be so many. */
export function planBands(rows: number, halvings: number, bands: number): RowBands {
  const smallest = smallestRows(rows, halvings);
  if (bands > smallest) {
    throw new DistriError(
      'usage',
      `${bands} bands of rows are too many for this image: its smallest level has ${smallest} rows; ` +
        `at most ${smallest} ranks per image, or a higher image, would work`,
    );
  }
  return RowBands.plan(rows, halvings, bands);
}

/**
 * Bands for a transformer whose tokens are squares of `patchSize` rows: all of the same height but the last, as the public project xDiT has it. Where
 * that would leave bands empty they are as even as they go.
 */
export function gridBands(rows: number, patchSize: number, bands: number): RowBands {
  const units = rows / patchSize;
  const height = Math.ceil(units / bands);
  if (Math.ceil(units / height) < bands) return evenGridBands(rows, patchSize, bands);
  return new RowBands(
    Array.from({ length: bands + 1 }, (_, band) => Math.min(band * height * patchSize, rows)),
  );
}

/** The same, with bands as even as they go. */
export function evenGridBands(rows: number, patchSize: number, bands: number): RowBands {
  const units = rows / patchSize;
  if (bands > units) {
    throw new DistriError(
      'usage',
      `${bands} bands of rows are too many for this image: it has ${units} rows of tokens; ` +
        `at most ${units} ranks per image, or a higher image, would work`,
    );
  }
  return new RowBands(splitEvenly(units, bands).map((cut) => cut * patchSize));
}

/** Rows of the smallest level of a model that halves them `halvings` times: no more bands than that are possible. */
export function smallestRows(rows: number, halvings: number): number {
  let smallest = rows;
  for (let level = 0; level < halvings; level++) smallest = Math.ceil(smallest / 2);
  return smallest;
}
