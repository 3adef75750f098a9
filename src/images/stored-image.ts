import { inflateSync } from 'node:zlib';
import { readWhole } from '../base/file-io.js';
import { type OpenImage, withImage } from './open-image.js';
import { type Image, readImage } from './pixels.js';

/** Of a PNG's file. What its pixels take is bounded by their number. */
const MAX_FILE_BYTES = 2 ** 30;

/**
 * The image as the reference's loader has it, which takes the stored values as they are: of a palette PNG the
 * indices as grey, of one with a bit per pixel 0 and 1. Values that the reference fails on (transparency, 16
 * bits) are `dataset` errors that name the file.
 */
export async function readStoredImage(path: string): Promise<Image> {
  return withImage(path, path, 'dataset', ({ metadata }) => readStored(path, metadata));
}

async function readStored(
  path: string,
  { format, channels, depth, isPalette, bitsPerSample }: OpenImage['metadata'],
): Promise<Image> {
  if (isPalette && format === 'png') return readIndices(path);
  if (channels === 2 || channels === 4) throw new Error(`--strict_reference takes no ${channels} channels`);
  if (depth !== 'uchar') throw new Error('--strict_reference takes 8 bits per channel only');
  const image = await readImage(path);
  return bitsPerSample === 1 ? { ...image, pixels: image.pixels.map((value) => value / 255) } : image;
}

const SIGNATURE_BYTES = 8;

/** The palette indices of a PNG (https://www.w3.org/TR/png-3, 9 and 11), in all three channels. */
async function readIndices(path: string): Promise<Image> {
  const file = await readWhole(path, { most: MAX_FILE_BYTES, of: 'a PNG' }, 'dataset');
  const compressed: Buffer[] = [];
  let header: Buffer | undefined;
  for (let at = SIGNATURE_BYTES; at + 8 <= file.length; ) {
    const length = file.readUInt32BE(at);
    const type = file.toString('latin1', at + 4, at + 8);
    const data = file.subarray(at + 8, at + 8 + length);
    if (type === 'IHDR') header ??= data;
    if (type === 'IDAT') compressed.push(data);
    at += length + 12;
  }
  if (header === undefined || header.length < 13) throw new Error('it has no header');
  const size = { width: header.readUInt32BE(0), height: header.readUInt32BE(4) };
  const bits = header[8] as number;
  if (header[12] !== 0) throw new Error('--strict_reference takes no interlaced palette images');
  const rowBytes = Math.ceil((size.width * bits) / 8);
  const total = size.height * (rowBytes + 1);
  const rows = inflateSync(Buffer.concat(compressed), { maxOutputLength: total });
  if (rows.length < total) throw new Error('it ends too early');
  const indices = unfilter(rows, rowBytes, size.height);
  const pixels = new Uint8Array(size.width * size.height * 3);
  for (let pixel = 0; pixel < size.width * size.height; pixel++) {
    const column = pixel % size.width;
    const byte = indices[
      Math.floor(pixel / size.width) * rowBytes + Math.floor((column * bits) / 8)
    ] as number;
    const index = (byte >> (8 - bits - ((column * bits) % 8))) & ((1 << bits) - 1);
    pixels.fill(index, 3 * pixel, 3 * pixel + 3);
  }
  return { ...size, pixels };
}

/** Undoes PNG's filters for pixels of at most a byte. */
function unfilter(rows: Uint8Array, rowBytes: number, height: number): Uint8Array {
  const values = new Uint8Array(rowBytes * height);
  for (let row = 0; row < height; row++) {
    const filter = rows[row * (rowBytes + 1)];
    for (let column = 0; column < rowBytes; column++) {
      const at = row * rowBytes + column;
      const left = column > 0 ? (values[at - 1] as number) : 0;
      const above = row > 0 ? (values[at - rowBytes] as number) : 0;
      const corner = column > 0 && row > 0 ? (values[at - rowBytes - 1] as number) : 0;
      values[at] = (rows[row * (rowBytes + 1) + 1 + column] as number) + predict(filter, left, above, corner);
    }
  }
  return values;
}

function predict(filter: number | undefined, left: number, above: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return above;
  if (filter === 3) return (left + above) >> 1;
  return filter === 4 ? paeth(left, above, corner) : 0;
}

function paeth(left: number, above: number, corner: number): number {
  const estimate = left + above - corner;
  const [a, b, c] = [Math.abs(estimate - left), Math.abs(estimate - above), Math.abs(estimate - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}
