/**
 * Bands of whole rows of an image: band p has rows `cuts[p]` to `cuts[p + 1]`. A band of a lower level covers
 * exactly the rows that its band of the level above becomes, so that convolutions of stride 2 and upsampling
 * stay inside a band but for a convolution's halo.
 */
export class Bands {
  readonly cuts: readonly number[];

  constructor(cuts: readonly number[]) {
    this.cuts = cuts;
  }

  /** The bands after a convolution of stride 2. */
  halved(): Bands {
    return new Bands(this.cuts.map((cut) => Math.ceil(cut / 2)));
  }

  /** The bands in units of `rows` rows, of which each has a whole number. */
  inUnitsOf(rows: number): Bands {
    return new Bands(this.cuts.map((cut) => cut / rows));
  }

  /** The bands of an image of twice the rows. */
  doubled(): Bands {
    return new Bands(this.cuts.map((cut) => 2 * cut));
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

/** Which part of a whole image a value is: one of these bands, as rows of an image or as rows of tokens. */
export interface Region {
  readonly bands: Bands;
  /** Columns of the image, and so tokens of a row. */
  readonly columns: number;
  /** Tokens before those of the band that every rank has, such as a text's; 0 for images. */
  readonly before: number;
}

/** Tokens of each band of a region, without those before. */
export function tokensOf({ bands, columns }: Region): number[] {
  return bands.counts.map((rows) => rows * columns);
}

/**
 * The region of what an operation makes of operands with these regions: the one that they have in common.
 * Operands without one (weights, a time embedding) say nothing; two that differ are an error, because nobody
 * could say what the result is.
 */
export function commonRegion(regions: readonly (Region | undefined)[], name: string): Region | undefined {
  const [first, ...others] = regions.filter((region) => region !== undefined);
  if (first && others.some((other) => !sameRegion(first, other))) {
    throw new Error(`${name} joins values that are different parts of an image`);
  }
  return first;
}

function sameRegion(a: Region, b: Region): boolean {
  return (
    a === b ||
    (a.columns === b.columns &&
      a.before === b.before &&
      a.bands.cuts.length === b.bands.cuts.length &&
      a.bands.cuts.every((cut, band) => cut === b.bands.cuts[band]))
  );
}
