import protobuf from 'protobufjs/light.js';
import { DistriError, toError } from '../base/errors.js';
import { readWhole } from '../base/file-io.js';

/**
 * T5's spiece.model has 0.8 MB, the largest public ones 5 MB. An empty piece takes 2 bytes, and 60 in memory.
 */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * The messages of sentencepiece_model.proto (the public project google/sentencepiece) that encoding needs.
 */
const root = protobuf.Root.fromJSON({
  nested: {
    ModelProto: {
      fields: {
        pieces: { rule: 'repeated', type: 'SentencePiece', id: 1 },
        trainerSpec: { type: 'TrainerSpec', id: 2 },
        normalizerSpec: { type: 'NormalizerSpec', id: 3 },
      },
    },
    SentencePiece: {
      fields: {
        piece: { type: 'string', id: 1 },
        score: { type: 'float', id: 2 },
        type: { type: 'int32', id: 3, options: { default: 1 } },
      },
    },
    TrainerSpec: {
      fields: {
        modelType: { type: 'int32', id: 3, options: { default: 1 } },
        treatWhitespaceAsSuffix: { type: 'bool', id: 24 },
        byteFallback: { type: 'bool', id: 35 },
      },
    },
    NormalizerSpec: {
      fields: {
        precompiledCharsmap: { type: 'bytes', id: 2 },
        addDummyPrefix: { type: 'bool', id: 3, options: { default: true } },
        removeExtraWhitespaces: { type: 'bool', id: 4, options: { default: true } },
        escapeWhitespaces: { type: 'bool', id: 5, options: { default: true } },
      },
    },
  },
});
const modelProto = root.lookupType('ModelProto');

const UNIGRAM = 1;

/** SentencePiece.Type. */
export const pieceType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5 } as const;

export interface Piece {
  readonly piece: string;
  /** Logarithm of its probability. */
  readonly score: number;
  readonly type: number;
}

/**
 * What a .model file says, in the way of every T5: unigrams, and normalisation with a space in front and none
 * to spare.
 */
export interface SentencePieceModel {
  /** A piece's id is its index. */
  readonly pieces: readonly Piece[];
  /** Which texts are replaced by which before anything else; empty where none are. */
  readonly charsmap: Uint8Array;
}

/** Reads a sentencepiece model; one that works otherwise than T5's is refused. */
export async function readSentencePieceModel(file: string): Promise<SentencePieceModel> {
  const bytes = await readWhole(file, { most: MAX_BYTES, of: 'a tokenizer' });
  const { pieces, trainerSpec, normalizerSpec } = decode(bytes, file);
  const { addDummyPrefix, removeExtraWhitespaces, escapeWhitespaces, precompiledCharsmap } = normalizerSpec;
  const refused = [
    trainerSpec.modelType !== UNIGRAM && 'a model other than unigram',
    trainerSpec.treatWhitespaceAsSuffix && 'treat_whitespace_as_suffix',
    trainerSpec.byteFallback && 'byte_fallback',
    !addDummyPrefix && 'no add_dummy_prefix',
    !removeExtraWhitespaces && 'no remove_extra_whitespaces',
    !escapeWhitespaces && 'no escape_whitespaces',
  ].filter((reason) => reason !== false);
  if (refused.length > 0) {
    throw new DistriError(
      'unsupported',
      `${file}: has ${refused.join(' and ')}, which is not implemented; T5's own model works`,
    );
  }
  return { pieces, charsmap: precompiledCharsmap };
}

interface DecodedModel {
  readonly pieces: readonly Piece[];
  readonly trainerSpec: {
    readonly modelType: number;
    readonly treatWhitespaceAsSuffix: boolean;
    readonly byteFallback: boolean;
  };
  readonly normalizerSpec: {
    readonly precompiledCharsmap: Uint8Array;
    readonly addDummyPrefix: boolean;
    readonly removeExtraWhitespaces: boolean;
    readonly escapeWhitespaces: boolean;
  };
}

function decode(bytes: Uint8Array, file: string): DecodedModel {
  try {
    const message = modelProto.decode(bytes) as unknown as Partial<DecodedModel>;
    const { pieces = [], trainerSpec, normalizerSpec } = message;
    if (pieces.length === 0 || !trainerSpec || !normalizerSpec) throw new Error('it has no pieces');
    return { pieces, trainerSpec, normalizerSpec };
  } catch (error) {
    throw new DistriError('checkpoint', `${file}: not a sentencepiece model: ${toError(error).message}`, {
      cause: error,
    });
  }
}
