import { Tokenizer } from '@huggingface/tokenizers';
import type { TokenizerSettings } from './added-tokens.js';
import type { Vocabulary } from './vocabulary.js';

/** Unicode's blocks of Chinese characters, as in BERT's BasicTokenizer. */
const CHINESE =
  '[\\u{4E00}-\\u{9FFF}\\u{3400}-\\u{4DBF}\\u{20000}-\\u{2A6DF}\\u{2A700}-\\u{2B73F}' +
  '\\u{2B740}-\\u{2B81F}\\u{2B820}-\\u{2CEAF}\\u{F900}-\\u{FAFF}\\u{2F800}-\\u{2FA1F}]';

/** CLIP's words. The long s is there because transformers' pattern ignores case. */
const WORD =
  "<\\|startoftext\\|>|<\\|endoftext\\|>|'[sſ]|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";

/**
 * The tokenizers library set up as transformers' CLIPTokenizer (Python) without ftfy: BERT's BasicTokenizer,
 * which drops control characters and sets Chinese characters apart, then CLIP's words, then byte-pair
 * encoding of their bytes.
 */
export function createBytePairEncoding(vocabulary: Vocabulary, settings: TokenizerSettings): Tokenizer {
  return new Tokenizer(
    {
      added_tokens: addedTokens(settings),
      normalizer: sequence('normalizers', [
        { type: 'Replace', pattern: { Regex: '[^\\t\\n\\r\\P{C}]|\\uFFFD' }, content: '' },
        { type: 'Replace', pattern: { Regex: `(?=${CHINESE})|(?<=${CHINESE})` }, content: ' ' },
        { type: 'NFC' },
        { type: 'Lowercase' },
      ]),
      pre_tokenizer: sequence('pretokenizers', [
        { type: 'Split', pattern: { Regex: WORD }, behavior: 'Removed', invert: true },
        { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
      ]),
      model: {
        type: 'BPE',
        vocab: vocabulary.ids,
        merges: vocabulary.merges,
        end_of_word_suffix: '</w>',
        unk_token: settings.special.unk_token.content,
      },
      post_processor: null,
      decoder: { type: 'ByteLevel' },
    },
    { clean_up_tokenization_spaces: false },
  );
}

/**
 * Added tokens are found in the text as it is written. The start and the end of a text are also found once it
 * is in lower case, because they are among CLIP's words.
 */
function addedTokens({ addedTokens, special }: TokenizerSettings): object[] {
  const { bos_token, eos_token } = special;
  return [
    ...addedTokens.map((token) => ({ ...token, special: true, normalized: false })),
    ...[bos_token, eos_token].map((token) => ({ ...token, special: true, normalized: true })),
  ];
}

function sequence(key: string, parts: readonly object[]): object {
  return { type: 'Sequence', [key]: parts };
}
