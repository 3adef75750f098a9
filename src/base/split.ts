import { DistriError } from './errors.js';

/**
 * First index of each part and, last, the length: `[0, 4, 7, 10]` for 10 in 3 parts. Earlier parts are
 * longer; some are empty if there are more parts than that.
 */
export function splitEvenly(length: number, parts: number): number[] {
  const least = Math.floor(length / parts);
  const longer = length % parts;
  return Array.from({ length: parts + 1 }, (_, part) => part * least + Math.min(part, longer));
}

/**
 * First row of each part and, last, the number of rows: `[0, 11, 22, 32]` for 32 rows in 3 parts. Earlier
 * parts get the odd rows; a part without a row is refused.
 */
export function splitRows(rows: number, parts: number): number[] {
  if (parts > rows)
    throw new DistriError(
      'unsupported',
      `${rows} rows can't be divided into ${parts} parts; at most ${rows} would work`,
    );
  return splitEvenly(rows, parts);
}
