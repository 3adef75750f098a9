import type { FileHandle } from 'node:fs/promises';
import { readExactly, withFile } from '../base/file-io.js';

const SIGNATURE = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
/** The last chunk, which is empty, with its checksum. */
const END = Buffer.from('\0\0\0\0IEND\xae\x42\x60\x82', 'latin1');
/** What has more chunks before its pixels, and longer texts, is no picture of this program. */
const MAX_CHUNKS = 1000;
const MAX_TEXT_BYTES = 2 ** 24;
/** Length and type before, checksum after the data of a chunk. */
const BEFORE_DATA = 8;
const AFTER_DATA = 4;

/**
 * The uncompressed texts (tEXt, iTXt) before the pixels of the PNG at `path`, by their keywords; undefined
 * when the file is not a PNG, or its end is missing. Pixels are not looked at. A file that cannot be read is
 * an `output` error.
 */
export async function readPngTexts(path: string): Promise<ReadonlyMap<string, string> | undefined> {
  return withFile(path, readTexts, 'output');
}

async function readTexts(handle: FileHandle, size: number): Promise<ReadonlyMap<string, string> | undefined> {
  if (size < SIGNATURE.length + END.length) return undefined;
  if (!(await read(handle, 0, SIGNATURE.length)).equals(SIGNATURE)) return undefined;
  if (!(await read(handle, size - END.length, END.length)).equals(END)) return undefined;
  const texts = new Map<string, string>();
  let position = SIGNATURE.length;
  for (let chunks = 0; position < size && chunks < MAX_CHUNKS; chunks++) {
    const before = await read(handle, position, BEFORE_DATA);
    const length = before.readUInt32BE(0);
    const type = before.toString('latin1', 4);
    if (type === 'IDAT' || type === 'IEND') return texts;
    const data = position + BEFORE_DATA;
    if (data + length + AFTER_DATA > size) return undefined;
    const isText = type === 'tEXt' || type === 'iTXt';
    if (isText && length <= MAX_TEXT_BYTES) addText(texts, type, await read(handle, data, length));
    position = data + length + AFTER_DATA;
  }
  return undefined;
}

async function read(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await readExactly(handle, bytes, position);
  return bytes;
}

function addText(texts: Map<string, string>, type: string, data: Buffer): void {
  const keywordEnd = data.indexOf(0);
  if (keywordEnd < 0) return;
  const keyword = data.toString('latin1', 0, keywordEnd);
  if (type === 'tEXt') texts.set(keyword, data.toString('latin1', keywordEnd + 1));
  if (type !== 'iTXt' || data[keywordEnd + 1] !== 0) return;
  // Behind two bytes that tell of compression come the language and the translated keyword, each with a zero
  // at its end.
  const languageEnd = data.indexOf(0, keywordEnd + 3);
  const translatedEnd = data.indexOf(0, languageEnd + 1);
  if (languageEnd >= 0 && translatedEnd >= 0) texts.set(keyword, data.toString('utf8', translatedEnd + 1));
}
