import { ConfigReader, limits, type RawConfig } from '../base/config-reader.js';
import type { Value } from '../graph/value.js';
import type { Layers } from '../parallel/layers/layers.js';
import { int64 } from '../tensor/tensor.js';

/** What config.json says of a T5EncoderModel of version 1.1, checked. */
export interface T5EncoderConfig {
  readonly features: number;
  readonly innerFeatures: number;
  readonly heads: number;
  /** Of one head's queries, keys and values; all heads together need not be as wide as a token. */
  readonly headFeatures: number;
  readonly layers: number;
  readonly epsilon: number;
  readonly vocabSize: number;
  readonly buckets: number;
  readonly maxDistance: number;
}

/** Reads a T5 encoder's config.json with the defaults of transformers' T5Config. */
export function readT5EncoderConfig(component: string, raw: RawConfig): T5EncoderConfig {
  const reader = new ConfigReader(`${component}/config.json`, raw);
  reader.choice('feed_forward_proj', ['gated-gelu']);
  const buckets = reader.integer('relative_attention_num_buckets', 32);
  reader.checkDivides('relative_attention_num_buckets', buckets, 'directions and kinds of distances', 4);
  return {
    features: reader.integer('d_model', 512),
    innerFeatures: reader.integer('d_ff', 2048),
    heads: reader.integer('num_heads', 8),
    headFeatures: reader.integer('d_kv', 64),
    layers: reader.integer('num_layers', 6, { most: limits.layers }),
    epsilon: reader.number('layer_norm_epsilon', 1e-6, { least: 0 }),
    vocabSize: reader.integer('vocab_size', 32128),
    buckets,
    maxDistance: reader.integer('relative_attention_max_distance', 128),
  };
}

/** Names of the graph's inputs and its output. */
export const t5Names = {
  inputIds: 'input_ids',
  attentionMask: 'attention_mask',
  lastHiddenState: 'encoder.final_layer_norm',
} as const;

/** The least float32, which transformers adds to the scores of tokens that are hidden. */
const HIDDEN = -3.4028234663852886e38;

/** The encoder of T5 1.1, as transformers' T5EncoderModel.forward. */
export class T5EncoderModel {
  readonly #config: T5EncoderConfig;
  readonly #layers: Layers;

  constructor(config: T5EncoderConfig, layers: Layers) {
    this.#config = config;
    this.#layers = layers;
  }

  /**
   * Declares input_ids int64 `[batch, tokens]` and attention_mask `[batch, tokens]`, 1 for text and 0 for
   * padding; the output is the hidden state after the last norm, `[batch, tokens, features]`.
   */
  build({ batch, tokens }: { batch: number; tokens: number }): Value {
    const { vocabSize: entries, features, layers } = this.#config;
    const graph = this.#layers.kernels.graph;
    const ids = graph.input(t5Names.inputIds, 'int64', [batch, tokens], 'step');
    const mask = graph.input(t5Names.attentionMask, 'float32', [batch, tokens], 'step');
    const bias = this.#bias(mask, tokens);
    let x = this.#layers.embedding(ids, 'shared', { entries, features });
    for (let layer = 0; layer < layers; layer++) {
      const name = `encoder.block.${layer}`;
      x = this.#feedForward(this.#attention(x, bias, `${name}.layer.0`), `${name}.layer.1`, name);
    }
    const result = this.#norm(x, t5Names.lastHiddenState);
    graph.output(result);
    return result;
  }

  /**
   * What is added to the scores in all blocks, `[batch, heads, tokens, tokens]`: by the distance of two
   * tokens, and for padding.
   */
  #bias(mask: Value, tokens: number): Value {
    const { heads, buckets } = this.#config;
    const kernels = this.#layers.kernels;
    const name = 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias';
    const numbers = BigInt64Array.from({ length: tokens * tokens }, (_, index) => {
      const [query, key] = [Math.floor(index / tokens), index % tokens];
      return BigInt(relativeBucket(key - query, this.#config));
    });
    const table = kernels.graph.constant(`${name}/buckets`, int64([tokens, tokens], numbers));
    const found = this.#layers.embedding(table, name, { entries: buckets, features: heads });
    const byHead = kernels.transpose(`${name}/heads`, found, [2, 0, 1]);
    const positions = kernels.reshape('position_bias', byHead, [1, heads, tokens, tokens]);
    // 0 where the mask is 1.
    const padding = kernels.addNumber('attention_mask/padding', mask, -1);
    const hidden = kernels.multiplyNumber('attention_mask/hidden', padding, -HIDDEN);
    const batch = mask.shape[0] as number;
    const byKey = kernels.reshape('attention_mask/bias', hidden, [batch, 1, 1, tokens]);
    return kernels.sum('bias', positions, byKey);
  }

  #attention(input: Value, bias: Value, name: string): Value {
    const { features, heads, headFeatures } = this.#config;
    const inner = heads * headFeatures;
    const module = `${name}.SelfAttention`;
    const normed = this.#norm(input, `${name}.layer_norm`);
    const project = (part: string) => this.#linear(normed, `${module}.${part}`, features, inner);
    const mixed = this.#layers.kernels.biasedAttention(
      `${module}.attention`,
      project('q'),
      project('k'),
      project('v'),
      bias,
      { heads, scale: 1 },
    );
    return this.#layers.add(this.#linear(mixed, `${module}.o`, inner, features), input, name);
  }

  /** `result` names the sum, which is what the block gives. */
  #feedForward(input: Value, name: string, result: string): Value {
    const { features, innerFeatures } = this.#config;
    const module = `${name}.DenseReluDense`;
    const normed = this.#norm(input, `${name}.layer_norm`);
    const gate = this.#layers.activation(
      this.#linear(normed, `${module}.wi_0`, features, innerFeatures),
      `${module}.act`,
      'gelu_tanh',
    );
    const wide = this.#layers.kernels.multiply(
      `${module}.gated`,
      gate,
      this.#linear(normed, `${module}.wi_1`, features, innerFeatures),
    );
    const out = this.#linear(wide, `${module}.wo`, innerFeatures, features);
    return this.#layers.add(out, input, result);
  }

  #linear(x: Value, name: string, inFeatures: number, outFeatures: number): Value {
    return this.#layers.linear(x, name, { inFeatures, outFeatures, bias: false });
  }

  #norm(x: Value, name: string): Value {
    const { features, epsilon } = this.#config;
    return this.#layers.kernels.rmsNorm(
      name,
      x,
      this.#layers.parameter(`${name}.weight`, [features]),
      epsilon,
    );
  }
}

/**
 * Which entry of the table of position biases a distance (key - query) has: one for each up to a quarter of
 * them, then ever wider ranges.
 */
export function relativeBucket(
  distance: number,
  { buckets, maxDistance }: Pick<T5EncoderConfig, 'buckets' | 'maxDistance'>,
): number {
  const half = buckets / 2;
  const exact = half / 2;
  const away = Math.abs(distance);
  const first = distance > 0 ? half : 0;
  if (away < exact) return first + away;
  const share = Math.log(away / exact) / Math.log(maxDistance / exact);
  return first + Math.min(exact + Math.floor(share * (half - exact)), half - 1);
}
