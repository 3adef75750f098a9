import type { Value } from '../../graph/graph.js';
import type { Activation, NormSpec } from '../../graph/kernels/kernels.js';
import type { Tensor } from '../../tensor/tensor.js';

export interface ConvSpec {
  readonly inChannels: number;
  readonly outChannels: number;
  /** 1, or 3 with zeros around the image. */
  readonly kernel: 1 | 3;
  readonly stride?: 1 | 2;
  /**
   * Where a kernel of 3 has its zeros: one row and column on each side (by default), or only after the last row and column, as VAE encoders
   * with stride 2 have it.
   */
  readonly zeros?: 'around' | 'after';
}

export interface LinearSpec {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias: boolean;
}

export interface GroupNormSpec extends NormSpec {
  readonly channels: number;
}

export interface LayerNormSpec {
  readonly features: number;
  readonly epsilon: number;
}

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

export interface FeedForwardSpec {
  readonly features: number;
  readonly innerFeatures: number;
  /** Between the two layers; GEGLU has a gate for each inner feature, so twice as many come out of the first. */
  readonly activation: 'geglu' | 'gelu_tanh';
}

/** An image cut into squares, each of which is a token; row by row. */
export interface PatchGrid {
  /** Rows and columns of squares of the whole image, whatever a rank has of it. */
  readonly rows: number;
  readonly columns: number;
  /** Rows and columns of latents in a square. */
  readonly patchSize: number;
}

/** What is added to a token for its place: that of its row, `[rows, features]`, and that of its column, `[columns, features]`. */
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

/** What a norm without weights of its own is scaled and shifted by, `[batch or 1, 1, features]`. */
export interface Modulation {
  readonly shift: Value;
  readonly scale: Value;
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

/** A residual block: GroupNorm, SiLU, conv, + time embedding, GroupNorm, SiLU, conv, + input. */
export interface ResnetSpec {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly groups: number;
  readonly epsilon: number;
  /** Width of the time embedding, undefined for blocks without one (VAE). */
  readonly timeFeatures: number | undefined;
}

/**
 * What a model is made of. A model is written once on these; a strategy says what each means when the image is spread
 * over ranks. `name` is the module's path in the checkpoint: its weights lie below it, and its result gets this name.
 *
 * Images are `[batch, channels, rows, columns]`, tokens `[batch, tokens, features]`, vectors `[batch, features]`. All of them are a rank's own part,
 * except where said.
 */
export interface Layers {
  /** A convolution of the whole image, which every rank has, to the rank's own part of the result. */
  convIn(x: Value, name: string, spec: ConvSpec): Value;
  conv2d(x: Value, name: string, spec: ConvSpec): Value;
  /** The whole result from everybody's part. */
  gatherOutput(x: Value, name: string): Value;

  /** `timeEmbedding`: `[batch, timeFeatures]`, after its activation. */
  resnet(x: Value, timeEmbedding: Value | undefined, name: string, spec: ResnetSpec): Value;
  groupNorm(x: Value, name: string, spec: GroupNormSpec): Value;
  /** A GroupNorm whose only reader is a 3x3 convolution: the unit that residual blocks and outputs are made of. */
  normedConv2d(x: Value, normName: string, norm: GroupNormSpec, convName: string, conv: ConvSpec): Value;
  /** Nearest-neighbour interpolation to twice the rows and columns, cut to those of `like` where given. */
  upsample(x: Value, name: string, like: Value | undefined): Value;
  /** Joins channels. */
  concat(a: Value, b: Value, name: string): Value;

  selfAttention(x: Value, name: string, spec: AttentionSpec): Value;
  /**
   * `context`: `[batch, tokens, contextFeatures]`, whole on every rank and the same at every step. `scoreBias`, `[batch, 1, 1, tokens]`, is added to
   * the scores: a large negative number hides a token.
   */
  crossAttention(x: Value, context: Value, name: string, spec: AttentionSpec, scoreBias?: Value): Value;
  /** `net.0.proj`, the activation, `net.2`. */
  feedForward(x: Value, name: string, spec: FeedForwardSpec): Value;
  layerNorm(x: Value, name: string, spec: LayerNormSpec): Value;
  /** LayerNorm without weights, times `1 + scale`, plus `shift`. */
  modulatedNorm(x: Value, name: string, epsilon: number, modulation: Modulation): Value;

  linear(x: Value, name: string, spec: LinearSpec): Value;
  /** Rows of the table `name.weight`; ids int64. */
  embedding(ids: Value, name: string, spec: { entries: number; features: number }): Value;
  /** A weight itself. */
  parameter(name: string, shape: readonly number[]): Value;
  activation(x: Value, name: string, kind: Activation): Value;
  add(a: Value, b: Value, name: string): Value;

  /** The whole latents, which every rank has, to the tokens of the rank's own part. */
  patchEmbed(x: Value, name: string, spec: PatchEmbedSpec): Value;
  /** Tokens of `patchSize * patchSize * channels` features (pixel row, pixel column, channel) to the image that they are patches of. */
  unpatchify(x: Value, name: string, spec: { grid: PatchGrid; channels: number }): Value;
  /**
   * The model from latents to result. A strategy that gives a rank only some of the blocks calls `embed` and `head` where the rank has the
   * first and the last one, and otherwise takes tokens from, and returns tokens to, another rank: what it does not call is not
   * in the graph, and its weights are not read.
   */
  blocks(spec: BlocksSpec): Value;

  /** Images to tokens, row by row. */
  toTokens(x: Value, name: string): Value;
  /** Tokens back to an image of the shape of `like`, with the tokens' features as channels. */
  toImage(x: Value, name: string, like: Value): Value;
}
