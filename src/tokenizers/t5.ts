import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DistriError, expected } from '../base/errors.js';
import { isJsonObject, type JsonObject, readJsonObject } from '../base/json.js';
import { type AddedToken, parseListedTokens } from './added-tokens.js';
import { checkPrompt } from './prompt.js';
import { readSentencePieceModel, type SentencePieceModel } from './sentencepiece-model.js';
import { UnigramModel } from './unigram.js';
import { stripEnd, stripStart } from './white-space.js';

/** A text as a T5 encoder takes it. */
interface T5Text {
  /** Tokens of the text, its end, padding. */
  readonly ids: number[];
  /** 1 for tokens and end, 0 for padding. */
  readonly mask: number[];
  /** Tokens that did not fit. */
  readonly cut: number;
}

/** In what transformers' tokenizers differ. */
export interface T5TokenizerOptions {
  /** Whether a text that ends with the end token gets another: `always` by T5TokenizerFast. */
  readonly ending: 'once' | 'always';
}

/** T5's own number of extra tokens. */
const EXTRA_IDS = 100;

/**
 * The tokenizer of T5 encoders, from spiece.model. Ids are those of transformers' T5Tokenizer (slow, legacy)
 * with padding="max_length" and truncation, or T5TokenizerFast.
 */
export class T5Tokenizer {
  readonly #model: UnigramModel;
  readonly #added: ReadonlyMap<string, AddedToken>;
  readonly #special: { readonly end: number; readonly padding: number };
  readonly #ending: T5TokenizerOptions['ending'];
  /** All ids are less. */
  readonly size: number;

  private constructor(
    model: UnigramModel,
    added: ReadonlyMap<string, AddedToken>,
    special: { readonly end: number; readonly padding: number },
    size: number,
    { ending }: T5TokenizerOptions,
  ) {
    this.#ending = ending;
    this.#model = model;
    this.#added = added;
    this.#special = special;
    this.size = size;
  }

  /** Loads a checkpoint's tokenizer folder. */
  static async load(
    directory: string,
    options: T5TokenizerOptions = { ending: 'once' },
  ): Promise<T5Tokenizer> {
    const file = join(directory, 'spiece.model');
    const settingsFile = join(directory, 'tokenizer_config.json');
    const settings = existsSync(settingsFile) ? await readJsonObject(settingsFile) : {};
    if (settings.legacy === false) {
      throw new DistriError(
        'unsupported',
        `${settingsFile}: legacy = false is not implemented; true would work`,
      );
    }
    const model = await readSentencePieceModel(file);
    const added = readAddedTokens(model, settings, settingsFile);
    const end = specialId(model, added, '</s>', file);
    const padding = specialId(model, added, '<pad>', file);
    specialId(model, added, '<unk>', file);
    const size = 1 + Math.max(model.pieces.length - 1, ...[...added.values()].map(({ id }) => id));
    return new T5Tokenizer(new UnigramModel(model, file), added, { end, padding }, size, options);
  }

  /** Exactly `length` ids: a longer text loses its end, a shorter one is padded. */
  encode(text: string, length: number): T5Text {
    const { end, padding } = this.#special;
    const tokens = this.tokens(text);
    const kept = tokens.slice(0, length - 1);
    const ids = this.#ending === 'once' && kept.at(-1) === end ? kept : [...kept, end];
    const rest = length - ids.length;
    return {
      ids: [...ids, ...new Array<number>(rest).fill(padding)],
      mask: [...new Array<number>(ids.length).fill(1), ...new Array<number>(rest).fill(0)],
      cut: tokens.length - kept.length,
    };
  }

  /**
   * Ids of the text alone. Added tokens are found in it as it is written; each part between them begins a
   * word.
   */
  tokens(text: string): number[] {
    checkPrompt(text);
    const parts = splitAt(text, this.#added);
    for (const [index, part] of parts.entries()) {
      const token = this.#added.get(part);
      if (!token) continue;
      if (token.lstrip && index > 0) parts[index - 1] = stripEnd(parts[index - 1] as string);
      if (token.rstrip && index + 1 < parts.length) parts[index + 1] = stripStart(parts[index + 1] as string);
    }
    return parts.flatMap((part) => this.#added.get(part)?.id ?? this.#model.encode(part));
  }
}

/** A text cut before and after each added token in it. */
function splitAt(text: string, added: ReadonlyMap<string, AddedToken>): string[] {
  const longestFirst = [...added.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(`(${longestFirst.map(escapeRegExp).join('|')})`, 'u');
  return text.split(pattern).filter((part) => part !== '');
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

/**
 * Those that tokenizer_config.json lists; without a list, T5's: three of the model and `extra_ids` after its
 * pieces, counted down.
 */
function readAddedTokens(
  { pieces }: SentencePieceModel,
  settings: JsonObject,
  file: string,
): ReadonlyMap<string, AddedToken> {
  const listed = settings.added_tokens_decoder;
  if (isJsonObject(listed)) {
    return new Map(parseListedTokens(listed, file).map((token) => [token.content, token]));
  }
  const count = settings.extra_ids ?? EXTRA_IDS;
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 0 || count > 2 ** 16) {
    throw expected('a whole number up to 65536', 'extra_ids in tokenizer_config.json', count, 'checkpoint');
  }
  const extra = Array.from(
    { length: count },
    (_, index): AddedToken => ({
      content: `<extra_id_${index}>`,
      id: pieces.length + count - 1 - index,
      lstrip: true,
      rstrip: true,
    }),
  );
  const own = ['<pad>', '</s>', '<unk>'].flatMap((content): AddedToken[] => {
    const id = pieces.findIndex(({ piece }) => piece === content);
    return id < 0 ? [] : [{ content, id, lstrip: false, rstrip: false }];
  });
  return new Map([...own, ...extra].map((token) => [token.content, token]));
}

function specialId(
  { pieces }: SentencePieceModel,
  added: ReadonlyMap<string, AddedToken>,
  content: string,
  file: string,
): number {
  const id = added.get(content)?.id ?? pieces.findIndex(({ piece }) => piece === content);
  if (id < 0) throw new DistriError('checkpoint', `${file}: has no piece ${content}, so it is not T5's`);
  return id;
}
