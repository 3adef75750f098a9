import { writeFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { fileError } from '../base/file-io.js';
import type { Tensor } from '../tensor/tensor.js';
import { loadSharp } from './open-image.js';

/** A text of a PNG: its keyword (1 to 79 Latin-1 characters) and what it says. */
export interface PngText {
  readonly keyword: string;
  readonly text: string;
}

const SIGNATURE_BYTES = 8;
/** Length, type and checksum around the data of a chunk. */
const CHUNK_OVERHEAD = 12;

/**
 * Writes image `index` of `images` `[images, height, width, 3]` as a PNG that carries `text`. Failures are
 * `output` errors.
 */
export async function writePng(
  path: string,
  images: Tensor<'uint8'>,
  index: number,
  text: readonly PngText[],
): Promise<void> {
  const png = await encodePng(images, index, text);
  await writeFile(path, png).catch((error) => {
    throw fileError(error, path, 'output');
  });
}

/** Image `index` of `images` `[images, height, width, 3]` as a PNG file. */
export async function encodePng(
  images: Tensor<'uint8'>,
  index: number,
  text: readonly PngText[],
): Promise<Buffer> {
  const [, height, width, channels] = images.shape as [number, number, number, 3];
  const size = height * width * channels;
  const pixels = images.data.subarray(index * size, (index + 1) * size);
  const png = await loadSharp()(pixels, { raw: { width, height, channels } }).png().toBuffer();
  return insertText(png, text);
}

/** sharp writes no text chunks, so they are put in between the header chunk and the rest. */
function insertText(png: Buffer, text: readonly PngText[]): Buffer {
  const headerEnd = SIGNATURE_BYTES + CHUNK_OVERHEAD + png.readUInt32BE(SIGNATURE_BYTES);
  return Buffer.concat([png.subarray(0, headerEnd), ...text.map(textChunk), png.subarray(headerEnd)]);
}

/**
 * tEXt, the older and better known chunk, for ASCII; other text goes into an uncompressed iTXt. (tEXt is
 * Latin-1 by the standard, but libvips for one takes it for UTF-8.)
 */
function textChunk({ keyword, text }: PngText): Buffer {
  const key = Buffer.from(`${keyword}\0`, 'latin1');
  if (/^[\n\x20-\x7e]*$/.test(text)) {
    return chunk('tEXt', Buffer.concat([key, Buffer.from(text, 'latin1')]));
  }
  // No compression (two zeros), no language, no translated keyword.
  return chunk('iTXt', Buffer.concat([key, Buffer.alloc(4), Buffer.from(text.replaceAll('\0', ''), 'utf8')]));
}

function chunk(type: string, data: Buffer): Buffer {
  const result = Buffer.alloc(CHUNK_OVERHEAD + data.length);
  result.writeUInt32BE(data.length, 0);
  result.write(type, 4, 'latin1');
  data.copy(result, 8);
  result.writeUInt32BE(crc32(result.subarray(4, 8 + data.length)), 8 + data.length);
  return result;
}
