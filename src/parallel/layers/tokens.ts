import type { Value } from '../../graph/value.js';
import type { Tensor } from '../../tensor/tensor.js';

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
  /** The whole latents, which every rank has, to the tokens of the rank's own part. */
  patchEmbed(x: Value, name: string, spec: PatchEmbedSpec): Value;
  /**
   * Tokens of `patchSize * patchSize * channels` features (pixel row, pixel column, channel) to the image
   * that they are patches of.
   */
  unpatchify(x: Value, name: string, spec: { grid: PatchGrid; channels: number }): Value;
  /**
   * The model from latents to result. A strategy that gives a rank only some of the blocks calls `embed` and
   * `head` where the rank has the first and the last one, and otherwise takes tokens from, and returns tokens
   * to, another rank: what it does not call is not in the graph, and its weights are not read.
   */
  blocks(spec: BlocksSpec): Value;
  /** Makes what `blocks` returned the result of this rank. */
  output(x: Value): void;
}
