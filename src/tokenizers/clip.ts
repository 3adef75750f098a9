import type { Tokenizer } from '@huggingface/tokenizers';
import { readTokenizerSettings, type TokenizerSettings } from './added-tokens.js';
import { createBytePairEncoding } from './byte-pair-encoding.js';
import { checkPrompt } from './prompt.js';
import { readVocabulary } from './vocabulary.js';

/** Of every public CLIP text encoder. */
const CLIP_POSITIONS = 77;

/** A text as a CLIP text encoder takes it. */
interface EncodedText {
  /** As many as the encoder has positions: start, tokens of the text, end, padding. */
  readonly ids: number[];
  /** The end of the text, where it did not fit. */
  readonly truncated: string | undefined;
}

/**
 * The tokenizer of CLIP's text encoders. Ids are those of transformers' CLIPTokenizer with
 * padding="max_length" and truncation, in its Python version without ftfy.
 */
export class CLIPTokenizer {
  readonly #encoding: Tokenizer;
  readonly #settings: TokenizerSettings;
  readonly #positions: number;

  private constructor(encoding: Tokenizer, settings: TokenizerSettings, positions: number) {
    this.#encoding = encoding;
    this.#settings = settings;
    this.#positions = positions;
  }

  /** Loads a checkpoint's tokenizer folder, for an encoder with this many positions. */
  static async load(directory: string, positions = CLIP_POSITIONS): Promise<CLIPTokenizer> {
    const vocabulary = await readVocabulary(directory);
    const settings = await readTokenizerSettings(directory, vocabulary, positions);
    return new CLIPTokenizer(createBytePairEncoding(vocabulary, settings), settings, positions);
  }

  encode(text: string): EncodedText {
    const { special } = this.#settings;
    checkPrompt(text);
    const tokens = this.#encoding.encode(text).ids;
    const kept = tokens.slice(0, this.#positions - 2);
    const ids = [special.bos_token.id, ...kept, special.eos_token.id];
    const padding = new Array<number>(this.#positions - ids.length).fill(special.pad_token.id);
    return { ids: [...ids, ...padding], truncated: this.#decode(tokens.slice(kept.length)) };
  }

  #decode(ids: number[]): string | undefined {
    return ids.length === 0 ? undefined : this.#encoding.decode(ids).trim();
  }
}
