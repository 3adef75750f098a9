import { ConfigReader, limits, type RawConfig } from '../base/config-reader.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { Layers } from '../parallel/layers/layers.js';
import type { AttentionSpec, GridPositions, PatchGrid } from '../parallel/layers/tokens.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import { sinusoidalEmbedding, timestepEmbedding } from './embeddings.js';
import type { LatentShape, NoiseModel } from './noise-model.js';

/** What config.json says of a PixArtTransformer2DModel, checked. */
export interface PixArtTransformer2DConfig {
  readonly inChannels: number;
  /** Twice `inChannels` where the model predicts a variance as well. */
  readonly outChannels: number;
  readonly sampleSize: number;
  readonly patchSize: number;
  readonly layers: number;
  readonly heads: number;
  /** Of a token. */
  readonly features: number;
  readonly captionChannels: number;
  readonly attentionBias: boolean;
  readonly epsilon: number;
  readonly interpolationScale: number;
  /** Whether the model is told height, width and their ratio. */
  readonly sizeConditions: boolean;
}

/** Keys that would change the computation, with the values that are implemented. */
const supportedValues: Readonly<Record<string, readonly unknown[]>> = {
  activation_fn: ['gelu-approximate'],
  attention_type: ['default'],
  double_self_attention: [false],
  norm_elementwise_affine: [false],
  num_vector_embeds: [],
  only_cross_attention: [false],
  use_linear_projection: [false],
};

/**
 * Reads config.json of a PixArtTransformer2DModel, or of a Transformer2DModel of this kind, which is what
 * checkpoints made before diffusers 0.28 call it. As diffusers, which derives from sample_size what the older
 * name does not say.
 */
export function readPixArtTransformer2DConfig(raw: RawConfig): PixArtTransformer2DConfig {
  const reader = new ConfigReader('transformer/config.json', raw);
  const names = ['PixArtTransformer2DModel', 'Transformer2DModel'] as const;
  const name = reader.choice('_class_name', names, 'PixArtTransformer2DModel');
  const normType = name === 'Transformer2DModel' ? undefined : 'ada_norm_single';
  reader.choice('norm_type', ['ada_norm_single'], normType);
  reader.refuseUnsupported(supportedValues);
  const patchSize = reader.integer('patch_size', 2);
  if (!Number.isInteger(Math.log2(patchSize))) throw reader.unsupported('patch_size', patchSize, [1, 2, 4]);
  const heads = reader.integer('num_attention_heads', 16);
  const features = heads * reader.integer('attention_head_dim', 72);
  const sampleSize = reader.integer('sample_size', 128);
  // Null, as in published configs, means what absence means here.
  const sizeConditions = reader.has('use_additional_conditions')
    ? reader.boolean('use_additional_conditions', false)
    : sampleSize === 128;
  const where = 'num_attention_heads * attention_head_dim';
  reader.checkDivides(where, features, 'the parts of a position', 4);
  if (sizeConditions) reader.checkDivides(where, features, 'the size conditions', 3);
  const crossAttentionDim = reader.integer('cross_attention_dim', 1152);
  if (crossAttentionDim !== features) {
    throw reader.unsupported('cross_attention_dim', crossAttentionDim, [features]);
  }
  return {
    inChannels: reader.integer('in_channels', 4),
    outChannels: reader.integer('out_channels', 8),
    sampleSize,
    patchSize,
    layers: reader.integer('num_layers', 28, { most: limits.layers }),
    heads,
    features,
    captionChannels: reader.integer('caption_channels'),
    attentionBias: reader.boolean('attention_bias', true),
    epsilon: reader.number('norm_eps', 1e-6, { least: 0 }),
    interpolationScale: reader.nonZero('interpolation_scale', Math.max(Math.floor(sampleSize / 64), 1)),
    sizeConditions,
  };
}

/** Names of the graph's inputs. */
export const pixArtNames = {
  sample: 'sample',
  timestep: 'timestep',
  encoderHiddenStates: 'encoder_hidden_states',
  encoderAttentionMask: 'encoder_attention_mask',
  resolution: 'resolution',
  aspectRatio: 'aspect_ratio',
} as const;

/** The text as the blocks see it. */
interface Caption {
  /** `[batch, tokens, features]`. */
  readonly tokens: Value;
  /** What is added to the scores of each token, `[batch, 1, 1, tokens]`. */
  readonly bias: Value;
}

/** The timestep as the model sees it. */
interface TimeModulation {
  /** `[batch or 1, features]`. */
  readonly embedded: Value;
  /**
   * Shift, scale and gate of attention and of the feed-forward module, the same for all blocks: `[batch or 1,
   * 6, features]`.
   */
  readonly ofBlocks: Value;
}

/** Sinusoids that timesteps and sizes become. */
const WAVES = 256;
/** Of the norm before the last layer, whatever the config says. */
const FINAL_EPSILON = 1e-6;

/** A transformer as denoising loops know it. */
export function pixArtModel(config: PixArtTransformer2DConfig): NoiseModel {
  return {
    component: 'transformer',
    inChannels: config.inChannels,
    halvings: Math.log2(config.patchSize),
    blocks: config,
    inputs: pixArtNames,
    build: (layers, shape) => new PixArtTransformer2DModel(config, layers).build(shape),
  };
}

/** Denoising transformer of PixArt-alpha, as diffusers' PixArtTransformer2DModel.forward. */
export class PixArtTransformer2DModel {
  readonly #config: PixArtTransformer2DConfig;
  readonly #layers: Layers;

  constructor(config: PixArtTransformer2DConfig, layers: Layers) {
    this.#config = config;
    this.#layers = layers;
  }

  /**
   * Adds the model to the graph and declares inputs and output: sample `[batch, in, rows, columns]` and
   * timestep `[1]` of every step; encoder_hidden_states `[batch, tokens, captionChannels]`,
   * encoder_attention_mask `[batch, tokens]` (1 for text, 0 for padding) and, with size conditions,
   * resolution `[batch, 2]` (height and width in pixels) and aspect_ratio `[batch, 1]` of the image ->
   * noise_pred `[batch, out, rows, columns]`, the whole image.
   */
  build({ batch, rows, columns, textTokens }: LatentShape): Value {
    const { inChannels, layers: count, features, patchSize } = this.#config;
    const graph = this.#graph;
    const timestep = graph.input(pixArtNames.timestep, 'float32', [1], 'step');
    const caption = this.#caption(batch, textTokens);
    const time = this.#timeModulation(timestep, batch);
    const grid: PatchGrid = { rows: rows / patchSize, columns: columns / patchSize, patchSize };
    const result = this.#layers.blocks({
      count,
      batch,
      features,
      grid,
      embed: () => {
        const sample = graph.input(pixArtNames.sample, 'float32', [batch, inChannels, rows, columns], 'step');
        return this.#layers.patchEmbed(sample, 'pos_embed', {
          inChannels,
          features,
          grid,
          positions: (gridRows, gridColumns) => gridPositions(this.#config, gridRows, gridColumns),
        });
      },
      block: (x, index) => this.#block(x, caption, time, `transformer_blocks.${index}`),
      head: (x) => this.#head(x, time, grid),
    });
    this.#layers.output(result);
    return result;
  }

  get #graph(): Graph {
    return this.#layers.kernels.graph;
  }

  /** The text in the width of the blocks; the same at every step. */
  #caption(batch: number, tokens: number): Caption {
    const { captionChannels, features } = this.#config;
    const name = 'caption_projection';
    const kernels = this.#layers.kernels;
    const text = this.#graph.input(
      pixArtNames.encoderHiddenStates,
      'float32',
      [batch, tokens, captionChannels],
      'image',
    );
    const mask = this.#graph.input(pixArtNames.encoderAttentionMask, 'float32', [batch, tokens], 'image');
    const linear = (x: Value, part: string, inFeatures: number) =>
      this.#layers.linear(x, `${name}.${part}`, { inFeatures, outFeatures: features, bias: true });
    const wide = linear(text, 'linear_1', captionChannels);
    const active = this.#layers.activation(wide, `${name}.act_1`, 'gelu_tanh');
    // Exactly 0 where the mask is 1 and -10000 where it is 0.
    const weighed = kernels.multiplyNumber('encoder_attention_bias/weighed', mask, 10000);
    const bias = kernels.addNumber('encoder_attention_bias/flat', weighed, -10000);
    return {
      tokens: linear(active, 'linear_2', features),
      bias: kernels.reshape('encoder_attention_bias', bias, [batch, 1, 1, tokens]),
    };
  }

  /** diffusers' AdaLayerNormSingle. */
  #timeModulation(timestep: Value, batch: number): TimeModulation {
    const { features } = this.#config;
    const name = 'adaln_single.emb';
    const waves = this.#waves(timestep, `${name}.time_proj`);
    const time = timestepEmbedding(this.#layers, waves, `${name}.timestep_embedder`, WAVES, features);
    const sizes = this.#sizeEmbedding(batch);
    const embedded = sizes ? this.#layers.add(sizes, time, name) : time;
    const active = this.#layers.activation(embedded, 'adaln_single.silu', 'silu');
    const all = this.#layers.linear(active, 'adaln_single.linear', {
      inFeatures: features,
      outFeatures: 6 * features,
      bias: true,
    });
    const rows = all.shape[0] as number;
    return {
      embedded,
      ofBlocks: this.#layers.kernels.reshape('adaln_single/parts', all, [rows, 6, features]),
    };
  }

  /** Height, width and their ratio, a third of the features each; the same at every step. */
  #sizeEmbedding(batch: number): Value | undefined {
    const { sizeConditions, features } = this.#config;
    if (!sizeConditions) return undefined;
    const third = features / 3;
    const embed = (input: string, count: number, module: string): Value => {
      const name = `adaln_single.emb.${module}`;
      const given = this.#graph.input(input, 'float32', [batch, count], 'image');
      const flat = this.#layers.kernels.reshape(`${name}/flat`, given, [batch * count]);
      const embedded = timestepEmbedding(this.#layers, this.#waves(flat, `${name}.proj`), name, WAVES, third);
      return this.#layers.kernels.reshape(`${name}/rows`, embedded, [batch, count * third]);
    };
    const resolution = embed(pixArtNames.resolution, 2, 'resolution_embedder');
    const ratio = embed(pixArtNames.aspectRatio, 1, 'aspect_ratio_embedder');
    return this.#layers.concat(resolution, ratio, 'adaln_single.emb/sizes');
  }

  #waves(x: Value, name: string): Value {
    return sinusoidalEmbedding(this.#layers.kernels, name, x, WAVES, { flipSinToCos: true, freqShift: 0 });
  }

  /** diffusers' BasicTransformerBlock with norm_type ada_norm_single. */
  #block(input: Value, { tokens, bias }: Caption, time: TimeModulation, name: string): Value {
    const { features, epsilon } = this.#config;
    const layers = this.#layers;
    const [shiftMsa, scaleMsa, gateMsa, shiftMlp, scaleMlp, gateMlp] = this.#modulations(
      time.ofBlocks,
      `${name}.scale_shift_table`,
      ['shift_msa', 'scale_msa', 'gate_msa', 'shift_mlp', 'scale_mlp', 'gate_mlp'],
    ) as [Value, Value, Value, Value, Value, Value];
    const attention = this.#attention;
    const normed = layers.modulatedNorm(input, `${name}.norm1`, epsilon, {
      shift: shiftMsa,
      scale: scaleMsa,
    });
    const attended = layers.selfAttention(normed, `${name}.attn1`, attention);
    let x = this.#addGated(input, attended, gateMsa, `${name}.attn1`);
    x = layers.add(
      layers.crossAttention(x, tokens, `${name}.attn2`, attention, bias),
      x,
      `${name}.attn2/sum`,
    );
    const again = layers.modulatedNorm(x, `${name}.norm2`, epsilon, { shift: shiftMlp, scale: scaleMlp });
    const fed = layers.feedForward(again, `${name}.ff`, {
      features,
      innerFeatures: 4 * features,
      activation: 'gelu_tanh',
    });
    return this.#addGated(x, fed, gateMlp, name);
  }

  get #attention(): AttentionSpec {
    const { heads, features, attentionBias } = this.#config;
    return {
      heads,
      features,
      contextFeatures: features,
      innerFeatures: features,
      projections: ['to_q', 'to_k', 'to_v', 'to_out.0'],
      bias: attentionBias,
      causal: false,
    };
  }

  /**
   * The parts, `[batch or 1, 1, features]` each, of what the timestep says plus what the table `name` says.
   */
  #modulations(time: Value, name: string, parts: readonly string[]): Value[] {
    const table = this.#layers.parameter(name, [parts.length, this.#config.features]);
    const sum = this.#layers.add(time, table, `${name}/sum`);
    const names = parts.map((part) => `${name}/${part}`);
    return this.#layers.kernels.split(names, sum, 1);
  }

  #addGated(x: Value, change: Value, gate: Value, name: string): Value {
    return this.#layers.add(
      this.#layers.kernels.multiply(`${name}/gated`, change, gate),
      x,
      name.endsWith('attn1') ? `${name}/sum` : name,
    );
  }

  /** Noise (and variance) of the last block's tokens. */
  #head(x: Value, time: TimeModulation, grid: PatchGrid): Value {
    const { features, outChannels } = this.#config;
    const rows = time.embedded.shape[0] as number;
    const once = this.#layers.kernels.reshape('scale_shift_table/time', time.embedded, [rows, 1, features]);
    const twice = this.#layers.kernels.concat('scale_shift_table/times', [once, once], 1);
    const [shift, scale] = this.#modulations(twice, 'scale_shift_table', ['shift', 'scale']) as [
      Value,
      Value,
    ];
    const normed = this.#layers.modulatedNorm(x, 'norm_out', FINAL_EPSILON, { shift, scale });
    const projected = this.#layers.linear(normed, 'proj_out', {
      inFeatures: features,
      outFeatures: grid.patchSize ** 2 * outChannels,
      bias: true,
    });
    const image = this.#layers.unpatchify(projected, 'unpatchify', {
      grid,
      channels: outChannels,
      order: 'channels_last',
    });
    return this.#layers.gatherOutput(image, 'noise_pred');
  }
}

/**
 * Positions in a grid of patches: columns in the first half of a token's features, rows in the second. Every
 * grid covers the same range, so what a place gets depends on the size of the image. As diffusers'
 * get_2d_sincos_pos_embed.
 */
export function gridPositions(
  { sampleSize, patchSize, interpolationScale, features }: PixArtTransformer2DConfig,
  rows: number,
  columns: number,
): GridPositions {
  const base = Math.floor(sampleSize / patchSize);
  const half = features / 2;
  const table = (count: number, offset: number): Tensor<'float32'> => {
    const data = new Float32Array(count * features);
    for (let index = 0; index < count; index++) {
      const stretched = Math.fround(index / Math.fround(count / base));
      const place = Math.fround(stretched / interpolationScale);
      data.set(sinesAndCosines(place, half), index * features + offset);
    }
    return float32([count, features], data);
  };
  return { rows: table(rows, half), columns: table(columns, 0) };
}

/** `width` features: sines of ever lower frequencies, then cosines. */
function sinesAndCosines(place: number, width: number): Float32Array {
  const count = width / 2;
  const angles = Array.from({ length: count }, (_, index) => place / 10000 ** (index / count));
  return Float32Array.from([...angles.map(Math.sin), ...angles.map(Math.cos)]);
}
