import { ConfigReader, limits, type RawConfig } from '../base/config-reader.js';
import type { Activation } from '../graph/kernels/kernels.js';
import type { Value } from '../graph/value.js';
import type { Layers } from '../parallel/layers/layers.js';
import type { AttentionSpec } from '../parallel/layers/tokens.js';

/** What config.json says of a CLIPTextModel or CLIPTextModelWithProjection, checked. */
export interface CLIPTextConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly activation: Activation;
  readonly epsilon: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly eosTokenId: number;
  /** Width of text_embeds; undefined for a CLIPTextModel, which has none. */
  readonly projectionDim: number | undefined;
}

/** Reads a text encoder's config.json with the defaults of transformers' CLIPTextConfig. */
export function readCLIPTextConfig(component: string, raw: RawConfig): CLIPTextConfig {
  const reader = new ConfigReader(`${component}/config.json`, raw);
  const architectures = Array.isArray(raw.architectures) ? raw.architectures : [];
  const hiddenSize = reader.integer('hidden_size', 512);
  const heads = reader.integer('num_attention_heads', 8);
  reader.checkDivides('hidden_size', hiddenSize, 'num_attention_heads', heads);
  return {
    hiddenSize,
    intermediateSize: reader.integer('intermediate_size', 2048),
    layers: reader.integer('num_hidden_layers', 12, { most: limits.layers }),
    heads,
    activation: reader.choice('hidden_act', ['quick_gelu', 'gelu'], 'quick_gelu'),
    epsilon: reader.number('layer_norm_eps', 1e-5, { least: 0 }),
    vocabSize: reader.integer('vocab_size', 49408),
    maxPositions: reader.integer('max_position_embeddings', 77, { least: 3 }),
    eosTokenId: reader.integer('eos_token_id', 49407),
    projectionDim: architectures.includes('CLIPTextModelWithProjection')
      ? reader.integer('projection_dim', 512)
      : undefined,
  };
}

/** Names of the graph's inputs and outputs. */
export const clipTextNames = {
  inputIds: 'input_ids',
  eosPositions: 'eos_positions',
  lastHiddenState: 'text_model.final_layer_norm',
  pooled: 'pooled',
} as const;

/**
 * Name of the hidden state after `layer` layers; 0 is the embedding. As transformers' `hidden_states[layer]`.
 */
export function hiddenStateName(layer: number): string {
  return layer === 0 ? 'text_model.embeddings' : `text_model.encoder.layers.${layer - 1}`;
}

/** What a text model is asked for. */
export interface CLIPTextOutputs {
  readonly batch: number;
  readonly hiddenLayer: number | 'last';
  readonly pooled: boolean;
}

/** CLIP's text transformer, as transformers' CLIPTextModel(WithProjection).forward. */
export class CLIPTextModel {
  readonly #config: CLIPTextConfig;
  readonly #layers: Layers;

  constructor(config: CLIPTextConfig, layers: Layers) {
    this.#config = config;
    this.#layers = layers;
  }

  /**
   * Declares input_ids int64 `[batch, tokens]` and, with `pooled`, eos_positions int64 `[batch, 2]`; outputs
   * are the hidden state after `hiddenLayer` layers or, for 'last', after all of them and the final norm,
   * `[batch, tokens, hiddenSize]`, and `pooled`: the final norm at eos_positions, projected if the model has
   * a projection.
   */
  build({ batch, hiddenLayer, pooled }: CLIPTextOutputs): void {
    const graph = this.#layers.kernels.graph;
    const ids = graph.input(clipTextNames.inputIds, 'int64', [batch, this.#config.maxPositions], 'step');
    let x = this.#embed(ids);
    if (hiddenLayer === 0) graph.output(x);
    const last = hiddenLayer === 'last';
    const depth = pooled || last ? this.#config.layers : hiddenLayer;
    for (let layer = 0; layer < depth; layer++) {
      x = this.#encoderLayer(x, `text_model.encoder.layers.${layer}`);
      if (layer + 1 === hiddenLayer) graph.output(x);
    }
    if (!pooled && !last) return;
    const normed = this.#finalNorm(x);
    if (last) graph.output(normed);
    if (pooled) graph.output(this.#pool(normed, batch));
  }

  #embed(ids: Value): Value {
    const { vocabSize, maxPositions, hiddenSize: features } = this.#config;
    const name = 'text_model.embeddings';
    const tokens = this.#layers.embedding(ids, `${name}.token_embedding`, { entries: vocabSize, features });
    const positions = this.#layers.parameter(`${name}.position_embedding.weight`, [maxPositions, features]);
    return this.#layers.add(tokens, positions, name);
  }

  #encoderLayer(input: Value, name: string): Value {
    const { hiddenSize: features, heads, epsilon, intermediateSize, activation } = this.#config;
    const layers = this.#layers;
    const attention: AttentionSpec = {
      heads,
      features,
      contextFeatures: features,
      innerFeatures: features,
      projections: ['q_proj', 'k_proj', 'v_proj', 'out_proj'],
      bias: true,
      causal: true,
    };
    const normed = layers.layerNorm(input, `${name}.layer_norm1`, { features, epsilon });
    const attended = layers.add(
      layers.selfAttention(normed, `${name}.self_attn`, attention),
      input,
      `${name}.self_attn/sum`,
    );
    const again = layers.layerNorm(attended, `${name}.layer_norm2`, { features, epsilon });
    const wide = layers.linear(again, `${name}.mlp.fc1`, {
      inFeatures: features,
      outFeatures: intermediateSize,
      bias: true,
    });
    const active = layers.activation(wide, `${name}.mlp.activation`, activation);
    const out = layers.linear(active, `${name}.mlp.fc2`, {
      inFeatures: intermediateSize,
      outFeatures: features,
      bias: true,
    });
    return layers.add(out, attended, name);
  }

  #finalNorm(x: Value): Value {
    const { hiddenSize: features, epsilon } = this.#config;
    return this.#layers.layerNorm(x, clipTextNames.lastHiddenState, { features, epsilon });
  }

  #pool(last: Value, batch: number): Value {
    const { hiddenSize: features, projectionDim } = this.#config;
    const positions = this.#layers.kernels.graph.input(
      clipTextNames.eosPositions,
      'int64',
      [batch, 2],
      'step',
    );
    const picked = this.#layers.kernels.pickTokens(
      projectionDim === undefined ? clipTextNames.pooled : 'pooled/token',
      last,
      positions,
    );
    if (projectionDim === undefined) return picked;
    const weight = this.#layers.parameter('text_projection.weight', [projectionDim, features]);
    return this.#layers.kernels.linear(clipTextNames.pooled, picked, weight, undefined);
  }
}

/**
 * Where the text ends in each row of ids: the first end-of-text token, or, for configs with the historic
 * eos_token_id 2, the largest id. As transformers' CLIPTextTransformer.
 */
export function eosPosition(ids: readonly number[], eosTokenId: number): number {
  const position = eosTokenId === 2 ? ids.indexOf(Math.max(...ids)) : ids.indexOf(eosTokenId);
  return Math.max(position, 0);
}
