import type { Value } from '../../graph/value.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { Area } from '../gather-parts.js';

/** An attention module: four linear layers below `name` and the attention between them. */
export interface AttentionSpec {
  readonly heads: number;
  /** Width of the tokens that ask, and of the result. */
  readonly features: number;
  /** Width of the tokens that are asked (the text, in cross-attention). */
  readonly contextFeatures: number;
  /** Width of queries, keys and values, all heads together. */
  readonly innerFeatures: number;
  /** Names of the linear layers: `['to_q', 'to_k', 'to_v', 'to_out.0']`. */
  readonly projections: readonly [query: string, key: string, value: string, out: string];
  /** Whether queries, keys and values have biases; the last projection always has one. */
  readonly bias: boolean;
  /** Tokens see only themselves and those before. */
  readonly causal: boolean;
}

/** An image cut into squares, each of which is a token; row by row. */
export interface PatchGrid {
  /** Rows and columns of squares of the whole image, whatever a rank has of it. */
  readonly rows: number;
  readonly columns: number;
  /** Rows and columns of latents in a square. */
  readonly patchSize: number;
}

/**
 * What is added to a token for its place: that of its row, `[rows, features]`, and that of its column,
 * `[columns, features]`.
 */
export interface GridPositions {
  readonly rows: Tensor<'float32'>;
  readonly columns: Tensor<'float32'>;
}

/** Latents to tokens: a convolution below `name.proj` whose kernel and stride are a patch, and positions. */
export interface PatchEmbedSpec {
  readonly inChannels: number;
  readonly features: number;
  readonly grid: PatchGrid;
  /** Positions in a grid of that many rows and columns: they depend on its size. */
  readonly positions: (rows: number, columns: number) => GridPositions;
}

/** How a patch is a token's features: its channels one after another, or those of each pixel together. */
export type PatchOrder = 'channels_first' | 'channels_last';

/** Patches as tokens' features, `[row and column within the patch, channel]` in an order. */
export interface PatchSpec {
  readonly grid: PatchGrid;
  readonly channels: number;
  readonly order: PatchOrder;
}

/** Linear layers and norms of queries and keys that are those of some of the tokens of a joint attention. */
export interface JointStream {
  /** `[batch, tokens, features]`. */
  readonly tokens: Value;
  /** Paths of the layers. */
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly queryNorm: string;
  readonly keyNorm: string;
}

/** Attention among the tokens of a text and a picture, with places told by rotation. */
export interface JointAttentionSpec {
  readonly heads: number;
  readonly features: number;
  /** Of the norms. */
  readonly epsilon: number;
  /** The rank's own, which come before those of its part of the picture. */
  readonly textTokens: number;
  /** Of the whole text, of all ranks. */
  readonly wholeText: number;
  /** Of the angles of the rank's tokens, `[tokens, pairs of a head's features]`. */
  readonly cosines: Value;
  readonly sines: Value;
}

/** A transformer as a row of blocks that all take and give tokens of one width. */
export interface BlocksSpec {
  readonly count: number;
  /** Of the tokens. */
  readonly batch: number;
  readonly features: number;
  readonly grid: PatchGrid;
  /** Makes the tokens of the first block, out of inputs that it declares. */
  readonly embed: () => Value;
  readonly block: (x: Value, index: number) => Value;
  /** Makes the model's result of the tokens of the last block. */
  readonly head: (x: Value) => Value;
}

/** Layers of attention, on tokens `[batch, tokens, features]`. */
export interface TokenLayers {
  selfAttention(x: Value, name: string, spec: AttentionSpec): Value;
  /**
   * `context`: `[batch, tokens, contextFeatures]`, whole on every rank and the same at every step.
   * `scoreBias`, `[batch, 1, 1, tokens]`, is added to the scores: a large negative number hides a token.
   */
  crossAttention(x: Value, context: Value, name: string, spec: AttentionSpec, scoreBias?: Value): Value;
  /**
   * Attention among all tokens, those of the text first; `streams` are all of the rank's own in that order,
   * `out` the path of each stream's last projection.
   */
  jointAttention(
    streams: readonly (JointStream & { readonly out: string })[],
    name: string,
    spec: JointAttentionSpec,
  ): readonly Value[];
  /**
   * Attention and feed-forward module side by side, of `name.proj_mlp` and a tanh-GELU, and `name.proj_out`
   * of both results.
   */
  attentionBesideFeedForward(
    stream: JointStream,
    name: string,
    spec: JointAttentionSpec & { readonly innerFeatures: number },
  ): Value;
  /** Of a text's tokens, which every rank has, those that are the rank's own. */
  ownText(text: Value, name: string): Value;
  /** The rank's text and, after it, its part of the picture. */
  joinText(text: Value, image: Value, name: string): Value;
  /** The two again. */
  splitText(joined: Value, textTokens: number, name: string): [text: Value, image: Value];
  /** Where the rank's patches lie, for positions. */
  placesOf(grid: PatchGrid): Area;
  /** The whole latents, which every rank has, to the rank's patches as they are. */
  patchify(x: Value, name: string, spec: PatchSpec): Value;
  /** The whole latents, which every rank has, to the tokens of the rank's own part. */
  patchEmbed(x: Value, name: string, spec: PatchEmbedSpec): Value;
  /** Tokens of `patchSize * patchSize * channels` features to the image that they are patches of. */
  unpatchify(x: Value, name: string, spec: PatchSpec): Value;
  /**
   * The model from latents to result. A strategy that gives a rank only some of the blocks calls `embed` and
   * `head` where the rank has the first and the last one, and otherwise takes tokens from, and returns tokens
   * to, another rank: what it does not call is not in the graph, and its weights are not read.
   */
  blocks(spec: BlocksSpec): Value;
  /** Makes what `blocks` returned the result of this rank. */
  output(x: Value): void;
}
