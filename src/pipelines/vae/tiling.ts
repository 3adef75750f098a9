import { sum } from '../../base/numbers.js';
import { float32, type Tensor } from '../../tensor/tensor.js';

/**
 * Squares that overlap, as diffusers' AutoencoderKL cuts pictures and latents that are too large for its
 * memory.
 */
export interface Tiling {
  /** Rows and columns of a tile of the input; those at the right and bottom borders are smaller. */
  readonly tile: number;
  /** From one tile to the next in the input. */
  readonly stride: number;
  /** Rows and columns of the output in which one tile becomes the next. */
  readonly blend: number;
  /** What is kept of a tile of the output. */
  readonly limit: number;
}

/** `tile_overlap_factor`. */
const OVERLAP = 0.25;

/**
 * For decoding with tiles of `pixels` pixels, a multiple of `4 * factor`, where a latent is `factor` pixels.
 * As `tiled_decode`.
 */
export function decoderTiling(pixels: number, factor: number): Tiling {
  const blend = pixels * OVERLAP;
  return { tile: pixels / factor, stride: (pixels - blend) / factor, blend, limit: pixels - blend };
}

/** For encoding, as `tiled_encode`. */
export function encoderTiling(pixels: number, factor: number): Tiling {
  const latents = pixels / factor;
  const blend = latents * OVERLAP;
  return { tile: pixels, stride: pixels * (1 - OVERLAP), blend, limit: latents - blend };
}

/** A tile of an image. */
export interface TileArea {
  readonly row: number;
  readonly rows: number;
  readonly column: number;
  readonly columns: number;
}

/** The tiles of an image, in rows of tiles. */
export function tileAreas(rows: number, columns: number, { tile, stride }: Tiling): TileArea[][] {
  const ranges = (length: number) =>
    Array.from({ length: Math.ceil(length / stride) }, (_, index) => {
      const start = index * stride;
      return { start, size: Math.min(tile, length - start) };
    });
  return ranges(rows).map((down) =>
    ranges(columns).map((across) => ({
      row: down.start,
      rows: down.size,
      column: across.start,
      columns: across.size,
    })),
  );
}

/** What an image `[1, channels, rows, columns]` has in an area. */
export function cutTile(image: Tensor<'float32'>, area: TileArea): Tensor<'float32'> {
  const [, channels, rows, columns] = image.shape as [number, number, number, number];
  const tile = float32([1, channels, area.rows, area.columns]);
  for (let plane = 0; plane < channels; plane++) {
    for (let row = 0; row < area.rows; row++) {
      const from = (plane * rows + area.row + row) * columns + area.column;
      const to = (plane * area.rows + row) * area.columns;
      tile.data.set(image.data.subarray(from, from + area.columns), to);
    }
  }
  return tile;
}

/**
 * The output's tiles `[1, channels, …]`, in rows of tiles, as one image. Overlaps are blended within the
 * tiles, which this changes.
 */
export function joinTiles(
  tiles: readonly (readonly Tensor<'float32'>[])[],
  tiling: Tiling,
): Tensor<'float32'> {
  for (const [i, row] of tiles.entries()) {
    for (const [j, tile] of row.entries()) {
      const above = tiles[i - 1]?.[j];
      const left = row[j - 1];
      if (above) blend(above, tile, 2, tiling.blend);
      if (left) blend(left, tile, 3, tiling.blend);
    }
  }
  const kept = (length: number) => Math.min(length, tiling.limit);
  const heights = tiles.map(([first]) => kept(first?.shape[2] as number));
  const widths = (tiles[0] ?? []).map((tile) => kept(tile.shape[3] as number));
  const channels = tiles[0]?.[0]?.shape[1] as number;
  const joined = float32([1, channels, sum(heights), sum(widths)]);
  for (const [i, row] of tiles.entries()) {
    for (const [j, tile] of row.entries()) {
      const place = { row: sum(heights.slice(0, i)), column: sum(widths.slice(0, j)) };
      paste(tile, joined, { ...place, rows: heights[i] as number, columns: widths[j] as number });
    }
  }
  return joined;
}

/**
 * The first rows (axis 2) or columns (axis 3) of `next` begin as the last ones of `previous`: `blend_v` and
 * `blend_h`.
 */
function blend(previous: Tensor<'float32'>, next: Tensor<'float32'>, axis: 2 | 3, extent: number): void {
  const [, channels, rows, columns] = next.shape as [number, number, number, number];
  const width = previous.shape[3] as number;
  const lengths = [previous.shape[axis] as number, next.shape[axis] as number];
  const count = Math.min(...lengths, extent);
  const start = (previous.shape[axis] as number) - count;
  const [down, across] = axis === 2 ? [count, columns] : [rows, count];
  for (let plane = 0; plane < channels; plane++) {
    for (let row = 0; row < down; row++) {
      const from = axis === 2 ? start + row : row;
      for (let column = 0; column < across; column++) {
        const share = (axis === 2 ? row : column) / count;
        const shift = axis === 3 ? start : 0;
        const old = previous.data[
          (plane * (previous.shape[2] as number) + from) * width + column + shift
        ] as number;
        const index = (plane * rows + row) * columns + column;
        next.data[index] = old * (1 - share) + (next.data[index] as number) * share;
      }
    }
  }
}

function paste(tile: Tensor<'float32'>, image: Tensor<'float32'>, area: TileArea): void {
  const [, channels, rows, columns] = tile.shape as [number, number, number, number];
  const [height, width] = image.shape.slice(2) as [number, number];
  for (let plane = 0; plane < channels; plane++) {
    for (let row = 0; row < area.rows; row++) {
      const from = (plane * rows + row) * columns;
      const to = (plane * height + area.row + row) * width + area.column;
      image.data.set(tile.data.subarray(from, from + area.columns), to);
    }
  }
}
