import { Charsmap } from './charsmap.js';
import { type Piece, pieceType, type SentencePieceModel } from './sentencepiece-model.js';
import { withoutEnd } from './white-space.js';

/** What a space is written as within pieces. */
const SPACE_SYMBOL = '▁';
/** How much less likely than the least likely piece an unknown character is, as a logarithm. */
const UNKNOWN_PENALTY = 10;

interface KnownPiece {
  readonly id: number;
  readonly score: number;
  readonly userDefined: boolean;
}

/** The best way to cut a text up to some character. */
interface BestPath {
  readonly score: number;
  readonly start: number;
  /** Undefined for an unknown character. */
  readonly id: number | undefined;
}

/**
 * Encodes texts as a sentencepiece unigram model does: normalised, then cut into the pieces that are most
 * likely together. As normalizer.cc and unigram_model.cc (EncodeOptimized), with its sums in single
 * precision.
 */
export class UnigramModel {
  readonly #charsmap: Charsmap;
  readonly #pieces = new Map<string, KnownPiece>();
  readonly #longest: number;
  readonly #unknownId: number;
  readonly #leastScore: number;
  readonly #highestScore: number;

  /** `source` is the file that the model was read from. */
  constructor({ pieces, charsmap }: SentencePieceModel, source: string) {
    this.#charsmap = new Charsmap(charsmap, source);
    let longest = 0;
    for (const [id, { piece, score, type }] of pieces.entries()) {
      if (type !== pieceType.normal && type !== pieceType.userDefined) continue;
      this.#pieces.set(piece, { id, score, userDefined: type === pieceType.userDefined });
      longest = Math.max(longest, [...piece].length);
    }
    this.#longest = longest;
    this.#unknownId = pieces.findIndex(({ type }) => type === pieceType.unknown);
    const scores = pieces.filter(({ type }) => type === pieceType.normal).map(({ score }: Piece) => score);
    this.#leastScore = scores.reduce((least, score) => Math.min(least, score), Number.POSITIVE_INFINITY);
    this.#highestScore = scores.reduce((most, score) => Math.max(most, score), Number.NEGATIVE_INFINITY);
  }

  /** Ids of the pieces of a text; neighbouring unknown characters are one id. */
  encode(text: string): number[] {
    const characters = [...this.normalize(text)];
    const paths = this.#bestPaths(characters);
    const ids: (number | undefined)[] = [];
    for (let end = characters.length; end > 0; ) {
      const { id, start } = paths[end] as BestPath;
      if (id !== undefined || ids.at(-1) !== undefined || ids.length === 0) ids.push(id);
      end = start;
    }
    return ids.reverse().map((id) => id ?? this.#unknownId);
  }

  /** Spaces as symbols, one in front, single ones between, none at the end. */
  normalize(text: string): string {
    const bytes = new TextEncoder().encode(text);
    const parts: string[] = [];
    let afterSpace = true;
    for (let position = 0; position < bytes.length; ) {
      const found = this.#charsmap.find(bytes, position);
      const length = found?.length ?? characterLength(bytes[position] as number);
      const replaced = decoder.decode(found?.text ?? bytes.subarray(position, position + length));
      const part: string = afterSpace ? replaced.replace(/^ +/, '') : replaced;
      if (part !== '') {
        parts.push(part);
        afterSpace = part.endsWith(' ');
      }
      position += length;
    }
    const symbols = parts.join('').replaceAll(' ', SPACE_SYMBOL);
    const joined = withoutEnd(symbols, (symbol) => symbol === SPACE_SYMBOL);
    return joined === '' ? '' : `${SPACE_SYMBOL}${joined}`;
  }

  #bestPaths(characters: readonly string[]): readonly (BestPath | undefined)[] {
    const paths = new Array<BestPath | undefined>(characters.length + 1);
    paths[0] = { score: 0, start: 0, id: undefined };
    const offer = (end: number, score: number, start: number, id: number | undefined) => {
      const known = paths[end];
      if (!known || score > known.score) paths[end] = { score: Math.fround(score), start, id };
    };
    for (let start = 0; start < characters.length; start++) {
      const here = (paths[start] as BestPath).score;
      let single = false;
      let text = '';
      for (let end = start + 1; end <= Math.min(start + this.#longest, characters.length); end++) {
        text += characters[end - 1];
        const piece = this.#pieces.get(text);
        if (!piece) continue;
        offer(end, here + this.#scoreOf(piece, text), start, piece.id);
        single ||= end === start + 1;
      }
      if (!single) {
        offer(start + 1, here + Math.fround(this.#leastScore - UNKNOWN_PENALTY), start, undefined);
      }
    }
    return paths;
  }

  /** What a user has defined is preferred to all else, the longer the more. */
  #scoreOf({ score, userDefined }: KnownPiece, text: string): number {
    return userDefined ? Buffer.byteLength(text) * this.#highestScore - 0.1 : score;
  }
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Of a character in UTF-8, by its first byte. */
function characterLength(first: number): number {
  if (first < 0x80) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}
