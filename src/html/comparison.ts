import { dirname, relative, sep } from 'node:path';
import { psnr } from '../metrics/psnr.js';
import { type LoadedPicture, loadPicture, pictureUri, thumbnailUri } from './compared-picture.js';
import type { PictureRow } from './picture-rows.js';

/** One picture of the page. */
export interface Cell {
  readonly thumbnail: string;
  /** The picture itself: a `data:` URI or a path relative to the page. */
  readonly picture: string;
  readonly width: number;
  readonly height: number;
  /** In dB against the row's picture of the reference column; a text where there is no such number. */
  readonly psnr: number | 'reference' | 'no reference' | 'other size';
}

export interface ComparisonRow {
  readonly name: string;
  readonly prompt: string | undefined;
  readonly cells: readonly (Cell | undefined)[];
}

export interface ComparisonOptions {
  /** Index of the column that the others are compared with. */
  readonly reference: number;
  readonly thumbnailSide: number;
  /** Whether the page holds the pictures, or links to their files. */
  readonly embed: boolean;
  /** The page's path, which links are relative to. */
  readonly page: string;
}

/**
 * Reads the pictures of a row and compares them. `prompt` goes before the one that the pictures' files name.
 */
export async function compareRow(
  { name, paths }: PictureRow,
  prompt: string | undefined,
  options: ComparisonOptions,
): Promise<ComparisonRow> {
  const pictures = await Promise.all(
    paths.map((path) => (path === undefined ? undefined : loadPicture(path))),
  );
  const reference = pictures[options.reference];
  const cells = pictures.map(async (picture) =>
    picture === undefined ? undefined : makeCell(picture, reference, options),
  );
  return {
    name,
    prompt: prompt ?? pictures.find((picture) => picture?.prompt !== undefined)?.prompt,
    cells: await Promise.all(cells),
  };
}

async function makeCell(
  picture: LoadedPicture,
  reference: LoadedPicture | undefined,
  { thumbnailSide, embed, page }: ComparisonOptions,
): Promise<Cell> {
  const { width, height } = picture.image;
  return {
    thumbnail: await thumbnailUri(picture.image, thumbnailSide),
    picture: embed ? await pictureUri(picture.path) : link(page, picture.path),
    width,
    height,
    psnr: compare(picture, reference),
  };
}

function compare(picture: LoadedPicture, reference: LoadedPicture | undefined): Cell['psnr'] {
  if (reference === undefined) return 'no reference';
  if (picture === reference) return 'reference';
  const { width, height } = reference.image;
  if (picture.image.width !== width || picture.image.height !== height) return 'other size';
  return psnr(picture.image.pixels, reference.image.pixels);
}

function link(page: string, path: string): string {
  return relative(dirname(page), path).split(sep).map(encodeURIComponent).join('/');
}

/** PSNR of a column: the mean over the pictures that differ from the reference, and how many do not. */
export interface ColumnSummary {
  readonly mean: number | undefined;
  readonly compared: number;
  readonly equal: number;
}

export class ColumnTotals {
  #sum = 0;
  #finite = 0;
  #equal = 0;

  add(psnr: Cell['psnr'] | undefined): void {
    if (typeof psnr !== 'number') return;
    if (psnr === Number.POSITIVE_INFINITY) this.#equal++;
    else {
      this.#sum += psnr;
      this.#finite++;
    }
  }

  summary(): ColumnSummary {
    return {
      mean: this.#finite === 0 ? undefined : this.#sum / this.#finite,
      compared: this.#finite + this.#equal,
      equal: this.#equal,
    };
  }
}
