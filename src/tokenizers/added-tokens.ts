import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DistriError } from '../base/errors.js';
import { isJsonObject, type JsonObject, readJsonObject } from '../base/json.js';
import { quote } from '../base/quote.js';
import { checkId, type Vocabulary } from './vocabulary.js';

const specialKeys = ['bos_token', 'eos_token', 'unk_token', 'pad_token'] as const;
type SpecialKey = (typeof specialKeys)[number];

/** CLIPTokenizer's own, for keys that no file has. */
const defaults: Readonly<Record<SpecialKey, string>> = {
  bos_token: '<|startoftext|>',
  eos_token: '<|endoftext|>',
  unk_token: '<|endoftext|>',
  pad_token: '<|endoftext|>',
};

/** What transformers writes for "no limit" is far above. */
const NO_LIMIT = 1_000_000;

/** A text that is a token wherever it occurs, and is not split further. */
export interface AddedToken {
  readonly content: string;
  readonly id: number;
  /** Whether spaces before or after it belong to it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** What the files beside a vocabulary say. */
export interface TokenizerSettings {
  readonly addedTokens: readonly AddedToken[];
  readonly special: Readonly<Record<SpecialKey, AddedToken>>;
}

/**
 * Reads tokenizer_config.json and, where that lists no added tokens, special_tokens_map.json and
 * added_tokens.json of older versions, in transformers' order of precedence. Texts become as many ids as the
 * encoder has `positions`; a tokenizer that would make another number of them is refused.
 */
export async function readTokenizerSettings(
  directory: string,
  vocabulary: Vocabulary,
  positions: number,
): Promise<TokenizerSettings> {
  const file = join(directory, 'tokenizer_config.json');
  const config = await readIfThere(file);
  checkMaxLength(config.model_max_length, positions, file);
  const listed = config.added_tokens_decoder;
  const legacy = isJsonObject(listed) ? {} : await readIfThere(join(directory, 'special_tokens_map.json'));
  const texts = { ...config, ...legacy };
  const tokens = new Map<string, AddedToken>();
  for (const token of isJsonObject(listed)
    ? parseListedTokens(listed, file)
    : await readLegacyTokens(directory)) {
    tokens.set(token.content, token);
  }
  const add = (value: unknown, name: string) => {
    const { content, lstrip, rstrip } = parseToken(value, name, file);
    const token = tokens.get(content) ?? { content, id: vocabularyId(vocabulary, content), lstrip, rstrip };
    tokens.set(content, token);
    return token;
  };
  const special = Object.fromEntries(
    specialKeys.map((key) => [key, add(texts[key] ?? defaults[key], key)]),
  ) as Record<SpecialKey, AddedToken>;
  return { addedTokens: [...tokens.values()], special };
}

async function readIfThere(file: string): Promise<JsonObject> {
  return existsSync(file) ? readJsonObject(file) : {};
}

/** `added_tokens_decoder` of tokenizer_config.json. */
export function parseListedTokens(listed: JsonObject, file: string): AddedToken[] {
  return Object.entries(listed).map(([id, value]) => {
    const token = parseToken(value, `added token ${id}`, file);
    return { ...token, id: checkId(/^\d+$/.test(id) ? Number(id) : id, token.content, file) };
  });
}

async function readLegacyTokens(directory: string): Promise<AddedToken[]> {
  const file = join(directory, 'added_tokens.json');
  return Object.entries(await readIfThere(file)).map(([content, id]) => ({
    content,
    id: checkId(id, content, file),
    lstrip: false,
    rstrip: false,
  }));
}

/** A token is given as its text or as an object with `content`. */
function parseToken(value: unknown, name: string, file: string): Omit<AddedToken, 'id'> {
  const token = typeof value === 'string' ? { content: value } : value;
  if (!isJsonObject(token) || typeof token.content !== 'string' || token.content === '') {
    throw new DistriError(
      'checkpoint',
      `${file}: ${name} is ${quote(value)}, not a text or an object with one`,
    );
  }
  return { content: token.content, lstrip: token.lstrip === true, rstrip: token.rstrip === true };
}

function vocabularyId({ ids, file }: Vocabulary, token: string): number {
  const id = Object.hasOwn(ids, token) ? ids[token] : undefined;
  if (id === undefined)
    throw new DistriError('checkpoint', `${file}: has no id for the token ${quote(token)}`);
  return id;
}

function checkMaxLength(value: unknown, positions: number, file: string): void {
  if (value === undefined || value === null || value === positions) return;
  if (typeof value === 'number' && value > NO_LIMIT) return;
  throw new DistriError(
    'checkpoint',
    `${file}: model_max_length = ${quote(value)}, but the text encoder has ${positions} positions`,
  );
}
