import type { Activation, Kernels } from '../../graph/kernels/kernels.js';
import type { Value } from '../../graph/value.js';

export interface LinearSpec {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias: boolean;
}

export interface LayerNormSpec {
  readonly features: number;
  readonly epsilon: number;
}

/** What a norm without weights of its own is scaled and shifted by, `[batch or 1, 1, features]`. */
export interface Modulation {
  readonly shift: Value;
  readonly scale: Value;
}

export interface FeedForwardSpec {
  readonly features: number;
  readonly innerFeatures: number;
  /**
   * Between the two layers; GEGLU has a gate for each inner feature, so twice as many come out of the first.
   */
  readonly activation: 'geglu' | 'gelu_tanh';
}

/** Layers of all models. */
export interface CommonLayers {
  /** Computations element by element, and others that mean the same wherever their operands are. */
  readonly kernels: Kernels;

  linear(x: Value, name: string, spec: LinearSpec): Value;
  /** `net.0.proj`, the activation, `net.2`. */
  feedForward(x: Value, name: string, spec: FeedForwardSpec): Value;
  layerNorm(x: Value, name: string, spec: LayerNormSpec): Value;
  /** LayerNorm without weights, times `1 + scale`, plus `shift`. */
  modulatedNorm(x: Value, name: string, epsilon: number, modulation: Modulation): Value;
  /** Rows of the table `name.weight`; ids int64. */
  embedding(ids: Value, name: string, spec: { entries: number; features: number }): Value;
  /** A weight itself. */
  parameter(name: string, shape: readonly number[]): Value;
  activation(x: Value, name: string, kind: Activation): Value;
  add(a: Value, b: Value, name: string): Value;
  /** Joins channels. */
  concat(a: Value, b: Value, name: string): Value;
  /** The whole result from everybody's part. */
  gatherOutput(x: Value, name: string): Value;
}
