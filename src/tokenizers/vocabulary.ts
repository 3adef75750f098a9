import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DistriError } from '../base/errors.js';
import { readWhole } from '../base/file-io.js';
import { decodeUtf8, isJsonObject, type JsonObject, readJsonObject } from '../base/json.js';
import { quote } from '../base/quote.js';

/** CLIP's merges are half a megabyte. */
const MAX_MERGES_BYTES = 16 * 1024 * 1024;
/**
 * transformers reads no more merges than make CLIP's 49152 tokens with 256 bytes, each also as a word's end,
 * and 2 special ones.
 */
const MAX_MERGES = 49152 - 256 - 2;
const MAX_ID = 2 ** 31 - 1;

/** Two neighbouring symbols that become one. */
type Merge = readonly [left: string, right: string];

/** What a byte-pair encoding knows. */
export interface Vocabulary {
  /** The file with the ids, for error messages. */
  readonly file: string;
  readonly ids: Readonly<Record<string, number>>;
  /** The first is applied first. */
  readonly merges: readonly Merge[];
}

/** Reads vocab.json and merges.txt in `directory`, or tokenizer.json where these are not both there. */
export async function readVocabulary(directory: string): Promise<Vocabulary> {
  const vocab = join(directory, 'vocab.json');
  const merges = join(directory, 'merges.txt');
  const tokenizer = join(directory, 'tokenizer.json');
  if ((existsSync(vocab) && existsSync(merges)) || !existsSync(tokenizer)) {
    return {
      file: vocab,
      ids: checkIds(await readJsonObject(vocab), vocab),
      merges: parseMerges(await readMerges(merges), merges),
    };
  }
  return readTokenizerJson(tokenizer);
}

/** `value` as the id of `token`, which is at most what a tensor of 32-bit integers could hold. */
export function checkId(value: unknown, token: string, file: string): number {
  if (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_ID) return Number(value);
  throw new DistriError(
    'checkpoint',
    `${file}: token ${quote(token)} has the id ${quote(value)}, not a whole number from 0`,
  );
}

function checkIds(values: JsonObject, file: string): Readonly<Record<string, number>> {
  for (const [token, value] of Object.entries(values)) checkId(value, token, file);
  return values as Record<string, number>;
}

/** The first line is a version and always passed over, as in transformers. */
function parseMerges(text: string, file: string): Merge[] {
  const lines = text
    .trimEnd()
    .split('\n')
    .slice(1, 1 + MAX_MERGES);
  return lines.map((line, index) => checkMerge(line.trim().split(/\s+/), `${file}:${index + 2}`));
}

/** `place` is where the merge stands, for error messages. */
function checkMerge(symbols: unknown, place: string): Merge {
  if (
    Array.isArray(symbols) &&
    symbols.length === 2 &&
    symbols.every((symbol) => typeof symbol === 'string')
  ) {
    return symbols as unknown as Merge;
  }
  throw new DistriError('checkpoint', `${place}: a merge is two symbols, not ${quote(symbols)}`);
}

/** The format of the tokenizers library; merges are either "a b" or ["a", "b"]. */
async function readTokenizerJson(file: string): Promise<Vocabulary> {
  const { model } = await readJsonObject(file);
  if (!isJsonObject(model) || !isJsonObject(model.vocab) || !Array.isArray(model.merges)) {
    throw new DistriError(
      'checkpoint',
      `${file}: model has no vocab and merges, so it is no byte-pair encoding`,
    );
  }
  const merges = model.merges.map((merge: unknown, index) =>
    checkMerge(typeof merge === 'string' ? merge.split(' ') : merge, `${file}: merge ${index}`),
  );
  return { file, ids: checkIds(model.vocab, file), merges };
}

async function readMerges(file: string): Promise<string> {
  return decodeUtf8(await readWhole(file, { most: MAX_MERGES_BYTES, of: 'merges' }), file);
}
