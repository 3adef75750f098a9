import { readFile } from 'node:fs/promises';
import { fileError } from '../checkpoint/file-io.js';

const SIGNATURE = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
/** Length and type before, checksum after the data of a chunk. */
const BEFORE_DATA = 8;
const AFTER_DATA = 4;

/**
 * The uncompressed texts (tEXt, iTXt) of the PNG at `path` by their keywords; undefined when the file is not a PNG, or not a whole one.
 * Pixels are not looked at. A file that cannot be read is an `output` error.
 */
export async function readPngTexts(path: string): Promise<ReadonlyMap<string, string> | undefined> {
  const bytes = await readFile(path).catch((error) => {
    throw fileError(error, path, 'output');
  });
  if (!bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE)) return undefined;
  const texts = new Map<string, string>();
  for (let position = SIGNATURE.length; position + BEFORE_DATA + AFTER_DATA <= bytes.length; ) {
    const type = bytes.toString('latin1', position + 4, position + BEFORE_DATA);
    const end = position + BEFORE_DATA + bytes.readUInt32BE(position);
    if (type === 'IEND') return texts;
    if (end + AFTER_DATA > bytes.length) return undefined;
    addText(texts, type, bytes.subarray(position + BEFORE_DATA, end));
    position = end + AFTER_DATA;
  }
  return undefined;
}

function addText(texts: Map<string, string>, type: string, data: Buffer): void {
  const [keywordEnd] = zeros(data, 1);
  if (keywordEnd === undefined) return;
  const keyword = data.toString('latin1', 0, keywordEnd);
  if (type === 'tEXt') texts.set(keyword, data.toString('latin1', keywordEnd + 1));
  if (type !== 'iTXt' || data[keywordEnd + 1] !== 0) return;
  // Behind two bytes that tell of compression come the language and the translated keyword.
  const [, translatedEnd] = zeros(data.subarray(keywordEnd + 3), 2);
  if (translatedEnd !== undefined)
    texts.set(keyword, data.toString('utf8', keywordEnd + 3 + translatedEnd + 1));
}

/** Where the first `count` zero bytes are. */
function zeros(data: Buffer, count: number): number[] {
  const places: number[] = [];
  for (let place = data.indexOf(0); place >= 0 && places.length < count; place = data.indexOf(0, place + 1)) {
    places.push(place);
  }
  return places;
}
