import type { NormSpec } from '../../graph/kernels/norm.js';
import type { Value } from '../../graph/value.js';

export interface ConvSpec {
  readonly inChannels: number;
  readonly outChannels: number;
  /** 1, or 3 with zeros around the image. */
  readonly kernel: 1 | 3;
  readonly stride?: 1 | 2;
  /**
   * Where a kernel of 3 has its zeros: one row and column on each side (by default), or only after the last
   * row and column, as VAE encoders with stride 2 have it.
   */
  readonly zeros?: 'around' | 'after';
}

export interface GroupNormSpec extends NormSpec {
  readonly channels: number;
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

/** Layers of convolutional models, on images `[batch, channels, rows, columns]`. */
export interface ImageLayers {
  /** A convolution of the whole image, which every rank has, to the rank's own part of the result. */
  convIn(x: Value, name: string, spec: ConvSpec): Value;
  conv2d(x: Value, name: string, spec: ConvSpec): Value;
  /** `timeEmbedding`: `[batch, timeFeatures]`, after its activation. */
  resnet(x: Value, timeEmbedding: Value | undefined, name: string, spec: ResnetSpec): Value;
  groupNorm(x: Value, name: string, spec: GroupNormSpec): Value;
  /**
   * A GroupNorm whose only reader is a 3x3 convolution: the unit that residual blocks and outputs are made
   * of.
   */
  normedConv2d(x: Value, normName: string, norm: GroupNormSpec, convName: string, conv: ConvSpec): Value;
  /** Nearest-neighbour interpolation to twice the rows and columns, cut to those of `like` where given. */
  upsample(x: Value, name: string, like: Value | undefined): Value;
  /** Images to tokens, row by row. */
  toTokens(x: Value, name: string): Value;
  /** Tokens back to an image of the shape of `like`, with the tokens' features as channels. */
  toImage(x: Value, name: string, like: Value): Value;
}
