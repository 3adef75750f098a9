import { ConfigReader, limits, type RawConfig } from '../base/config-reader.js';
import { expected } from '../base/errors.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { ResnetSpec } from '../parallel/layers/image.js';
import type { Layers } from '../parallel/layers/layers.js';
import type { AttentionSpec } from '../parallel/layers/tokens.js';
import { sinusoidalEmbedding, timestepEmbedding } from './embeddings.js';
import type { LatentShape, NoiseModel } from './noise-model.js';

interface BlockConfig {
  readonly attention: boolean;
  readonly channels: number;
  readonly layers: number;
  readonly transformerLayers: number;
  readonly heads: number;
}

/** What config.json says of a UNet2DConditionModel, checked. */
export interface UNet2DConditionConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly sampleSize: number | undefined;
  /** From the largest level to the smallest. */
  readonly downBlocks: readonly BlockConfig[];
  /** From the smallest level to the largest. */
  readonly upBlocks: readonly BlockConfig[];
  readonly midTransformerLayers: number;
  readonly midHeads: number;
  readonly groups: number;
  readonly epsilon: number;
  readonly crossAttentionDim: number;
  readonly useLinearProjection: boolean;
  readonly flipSinToCos: boolean;
  readonly freqShift: number;
  /** SDXL's conditioning on pooled text and sizes, absent in SD 1.x and 2.x. */
  readonly textTime: { readonly timeEmbedDim: number; readonly inputDim: number } | undefined;
}

const downBlockTypes = ['DownBlock2D', 'CrossAttnDownBlock2D'] as const;
const upBlockTypes = ['UpBlock2D', 'CrossAttnUpBlock2D'] as const;

/** Keys that would change the computation, with the values that are implemented. */
const supportedValues: Readonly<Record<string, readonly unknown[]>> = {
  act_fn: ['silu'],
  addition_embed_type: ['text_time'],
  attention_type: ['default'],
  center_input_sample: [false],
  class_embed_type: [],
  class_embeddings_concat: [false],
  conv_in_kernel: [3],
  conv_out_kernel: [3],
  cross_attention_norm: [],
  downsample_padding: [1],
  dual_cross_attention: [false],
  encoder_hid_dim: [],
  encoder_hid_dim_type: [],
  mid_block_only_cross_attention: [false],
  mid_block_scale_factor: [1],
  mid_block_type: ['UNetMidBlock2DCrossAttn'],
  num_class_embeds: [],
  only_cross_attention: [false],
  resnet_out_scale_factor: [1],
  resnet_skip_time_act: [false],
  resnet_time_scale_shift: ['default'],
  time_cond_proj_dim: [],
  time_embedding_act_fn: [],
  time_embedding_dim: [],
  time_embedding_type: ['positional'],
  timestep_post_act: [],
};

/** Reads a UNet's config.json as diffusers' UNet2DConditionModel does (0.24 to 0.42). */
export function readUNet2DConditionConfig(raw: RawConfig): UNet2DConditionConfig {
  const reader = new ConfigReader('unet/config.json', raw);
  reader.refuseUnsupported(supportedValues);
  const downTypes = reader.choices('down_block_types', downBlockTypes);
  const upTypes = reader.choices('up_block_types', upBlockTypes);
  const count = downTypes.length;
  const channels = reader.perBlock('block_out_channels', count);
  const layers = reader.perBlock('layers_per_block', count, 2, limits.layers);
  const transformers = reader.perBlock('transformer_layers_per_block', count, 1, limits.layers);
  // diffusers' naming accident: attention_head_dim holds the number of heads unless num_attention_heads is
  // set.
  const headsKey = reader.has('num_attention_heads') ? 'num_attention_heads' : 'attention_head_dim';
  const heads = reader.perBlock(headsKey, count, 8);
  const groups = reader.integer('norm_num_groups', 32);
  if (upTypes.length !== count) {
    throw reader.unsupported('up_block_types', upTypes, [`as many as the ${count} down_block_types`]);
  }
  for (const [level, width] of channels.entries()) {
    reader.checkDivides('block_out_channels', width, 'norm_num_groups', groups);
    const attends = [downTypes[level], upTypes[count - 1 - level]].some((type) =>
      type?.startsWith('CrossAttn'),
    );
    if (attends || level === count - 1)
      reader.checkDivides('block_out_channels', width, headsKey, heads[level] as number);
  }
  const block = (attention: boolean, level: number, extra: number): BlockConfig => ({
    attention,
    channels: channels[level] as number,
    layers: (layers[level] as number) + extra,
    transformerLayers: transformers[level] as number,
    heads: heads[level] as number,
  });
  const reversed = reader.has('reverse_transformer_layers_per_block')
    ? reader.perBlock('reverse_transformer_layers_per_block', count, undefined, limits.layers)
    : transformers.toReversed();
  return {
    inChannels: reader.integer('in_channels', 4),
    outChannels: reader.integer('out_channels', 4),
    sampleSize: reader.has('sample_size') ? reader.integer('sample_size') : undefined,
    downBlocks: downTypes.map((type, level) => block(type === 'CrossAttnDownBlock2D', level, 0)),
    upBlocks: upTypes.map((type, index) => ({
      ...block(type === 'CrossAttnUpBlock2D', count - 1 - index, 1),
      transformerLayers: reversed[index] as number,
    })),
    midTransformerLayers: transformers.at(-1) as number,
    midHeads: heads.at(-1) as number,
    groups,
    epsilon: reader.number('norm_eps', 1e-5, { least: 0 }),
    crossAttentionDim: reader.integer('cross_attention_dim', 1280),
    useLinearProjection: reader.boolean('use_linear_projection', false),
    flipSinToCos: reader.boolean('flip_sin_to_cos', true),
    freqShift: reader.number('freq_shift', 0),
    textTime: reader.has('addition_embed_type')
      ? {
          timeEmbedDim: reader.integer('addition_time_embed_dim'),
          inputDim: reader.integer('projection_class_embeddings_input_dim'),
        }
      : undefined,
  };
}

/** Names of the graph's inputs. */
export const unetNames = {
  sample: 'sample',
  timestep: 'timestep',
  encoderHiddenStates: 'encoder_hidden_states',
  textEmbeds: 'text_embeds',
  timeIds: 'time_ids',
} as const;

/** A UNet as denoising loops know it. */
export function unetModel(config: UNet2DConditionConfig): NoiseModel {
  return {
    component: 'unet',
    inChannels: config.inChannels,
    // Levels below the first.
    halvings: config.downBlocks.length - 1,
    inputs: unetNames,
    build: (layers, shape) => new UNet2DConditionModel(config, layers).build(shape),
  };
}

/** Denoising UNet of Stable Diffusion, as diffusers' UNet2DConditionModel.forward. */
export class UNet2DConditionModel {
  readonly #config: UNet2DConditionConfig;
  readonly #layers: Layers;

  constructor(config: UNet2DConditionConfig, layers: Layers) {
    this.#config = config;
    this.#layers = layers;
  }

  /**
   * Adds the model to the graph and declares inputs and output: sample `[batch, in, rows, columns]` and
   * timestep `[1]` of every step; encoder_hidden_states `[batch, tokens, dim]`, text_embeds `[batch, pooled]`
   * and time_ids `[batch, 6]` of the image -> noise_pred, the whole image.
   */
  build({ batch, rows, columns, textTokens }: LatentShape): Value {
    const { inChannels, crossAttentionDim } = this.#config;
    const graph = this.#graph;
    const sample = graph.input(unetNames.sample, 'float32', [batch, inChannels, rows, columns], 'step');
    const timestep = graph.input(unetNames.timestep, 'float32', [1], 'step');
    const text = graph.input(
      unetNames.encoderHiddenStates,
      'float32',
      [batch, textTokens, crossAttentionDim],
      'image',
    );
    const time = this.#embedTime(timestep, batch);

    const first = (this.#config.downBlocks[0] as BlockConfig).channels;
    const conv = { inChannels, outChannels: first, kernel: 3 } as const;
    const skips = [this.#layers.convIn(sample, 'conv_in', conv)];
    for (const index of this.#config.downBlocks.keys()) this.#downBlock(index, skips, time, text);
    let x = this.#midBlock(skips.at(-1) as Value, time, text);
    for (const index of this.#config.upBlocks.keys()) x = this.#upBlock(index, x, skips, time, text);
    const predicted = this.#convOut(x, first);
    graph.output(predicted);
    return predicted;
  }

  get #graph(): Graph {
    return this.#layers.kernels.graph;
  }

  /** The activated time embedding `[batch, 4 * channels]` that every residual block adds. */
  #embedTime(timestep: Value, batch: number): Value {
    const { downBlocks, flipSinToCos, freqShift } = this.#config;
    const width = (downBlocks[0] as BlockConfig).channels;
    const projected = sinusoidalEmbedding(this.#layers.kernels, 'time_proj', timestep, width, {
      flipSinToCos,
      freqShift,
    });
    const time = timestepEmbedding(this.#layers, projected, 'time_embedding', width, 4 * width);
    const extra = this.#embedTextTime(batch, 4 * width);
    const sum = extra ? this.#layers.add(extra, time, 'time_embedding/sum') : time;
    return this.#layers.activation(sum, 'time_embedding/silu', 'silu');
  }

  /** SDXL: pooled text and original size, crop and target size, embedded; the same at every step. */
  #embedTextTime(batch: number, outFeatures: number): Value | undefined {
    const { textTime, flipSinToCos, freqShift } = this.#config;
    if (!textTime) return undefined;
    const sizes = 6;
    const pooled = textTime.inputDim - sizes * textTime.timeEmbedDim;
    if (pooled <= 0) {
      throw expected(
        `more than ${sizes} x addition_time_embed_dim`,
        'projection_class_embeddings_input_dim',
        textTime.inputDim,
        'checkpoint',
      );
    }
    const textEmbeds = this.#graph.input(unetNames.textEmbeds, 'float32', [batch, pooled], 'image');
    const timeIds = this.#graph.input(unetNames.timeIds, 'float32', [batch, sizes], 'image');
    const flat = this.#layers.kernels.reshape('add_time_proj/flat', timeIds, [batch * sizes]);
    const projected = sinusoidalEmbedding(
      this.#layers.kernels,
      'add_time_proj',
      flat,
      textTime.timeEmbedDim,
      {
        flipSinToCos,
        freqShift,
      },
    );
    const rows = this.#layers.kernels.reshape('add_time_proj/rows', projected, [
      batch,
      sizes * textTime.timeEmbedDim,
    ]);
    const joined = this.#layers.concat(textEmbeds, rows, 'add_embedding/input');
    return timestepEmbedding(this.#layers, joined, 'add_embedding', textTime.inputDim, outFeatures);
  }

  #downBlock(index: number, skips: Value[], time: Value, text: Value): void {
    const { downBlocks } = this.#config;
    const { channels, layers, attention, transformerLayers, heads } = downBlocks[index] as BlockConfig;
    const name = `down_blocks.${index}`;
    for (let layer = 0; layer < layers; layer++) {
      const input = skips.at(-1) as Value;
      let x = this.#resnet(input, time, `${name}.resnets.${layer}`, channels);
      if (attention) x = this.#transformer(x, text, `${name}.attentions.${layer}`, transformerLayers, heads);
      skips.push(x);
    }
    if (index < downBlocks.length - 1) {
      const conv = { inChannels: channels, outChannels: channels, kernel: 3, stride: 2 } as const;
      skips.push(this.#layers.conv2d(skips.at(-1) as Value, `${name}.downsamplers.0.conv`, conv));
    }
  }

  #midBlock(input: Value, time: Value, text: Value): Value {
    const { midTransformerLayers, midHeads } = this.#config;
    const channels = input.shape[1] as number;
    let x = this.#resnet(input, time, 'mid_block.resnets.0', channels);
    x = this.#transformer(x, text, 'mid_block.attentions.0', midTransformerLayers, midHeads);
    return this.#resnet(x, time, 'mid_block.resnets.1', channels);
  }

  #upBlock(index: number, input: Value, skips: Value[], time: Value, text: Value): Value {
    const { upBlocks } = this.#config;
    const { channels, layers, attention, transformerLayers, heads } = upBlocks[index] as BlockConfig;
    const name = `up_blocks.${index}`;
    let x = input;
    for (let layer = 0; layer < layers; layer++) {
      x = this.#layers.concat(x, skips.pop() as Value, `${name}.resnets.${layer}/input`);
      x = this.#resnet(x, time, `${name}.resnets.${layer}`, channels);
      if (attention) x = this.#transformer(x, text, `${name}.attentions.${layer}`, transformerLayers, heads);
    }
    if (index === upBlocks.length - 1) return x;
    const enlarged = this.#layers.upsample(x, `${name}.upsamplers.0`, skips.at(-1));
    const conv = { inChannels: channels, outChannels: channels, kernel: 3 } as const;
    return this.#layers.conv2d(enlarged, `${name}.upsamplers.0.conv`, conv);
  }

  #convOut(x: Value, channels: number): Value {
    const { groups, epsilon, outChannels } = this.#config;
    const norm = { channels, groups, epsilon, activation: 'silu' } as const;
    const conv = { inChannels: channels, outChannels, kernel: 3 } as const;
    const own = this.#layers.normedConv2d(x, 'conv_norm_out', norm, 'conv_out', conv);
    return this.#layers.gatherOutput(own, 'noise_pred');
  }

  #resnet(x: Value, time: Value, name: string, outChannels: number): Value {
    const { groups, epsilon } = this.#config;
    const spec: ResnetSpec = {
      inChannels: x.shape[1] as number,
      outChannels,
      groups,
      epsilon,
      timeFeatures: time.shape[1] as number,
    };
    return this.#layers.resnet(x, time, name, spec);
  }

  /**
   * diffusers' Transformer2DModel: the image as tokens through `depth` transformer blocks, plus the image.
   */
  #transformer(x: Value, text: Value, name: string, depth: number, heads: number): Value {
    const channels = x.shape[1] as number;
    const norm = { channels, groups: this.#config.groups, epsilon: 1e-6, activation: 'none' } as const;
    const normed = this.#layers.groupNorm(x, `${name}.norm`, norm);
    let tokens = this.#projectIn(normed, `${name}.proj_in`, channels);
    for (let block = 0; block < depth; block++) {
      tokens = this.#transformerBlock(tokens, text, `${name}.transformer_blocks.${block}`, channels, heads);
    }
    return this.#layers.add(this.#projectOut(tokens, `${name}.proj_out`, channels, x), x, name);
  }

  #projectIn(x: Value, name: string, channels: number): Value {
    if (this.#config.useLinearProjection) {
      const spec = { inFeatures: channels, outFeatures: channels, bias: true };
      return this.#layers.linear(this.#layers.toTokens(x, `${name}/tokens`), name, spec);
    }
    const conv = this.#layers.conv2d(x, name, { inChannels: channels, outChannels: channels, kernel: 1 });
    return this.#layers.toTokens(conv, `${name}/tokens`);
  }

  #projectOut(tokens: Value, name: string, channels: number, like: Value): Value {
    if (this.#config.useLinearProjection) {
      const spec = { inFeatures: channels, outFeatures: channels, bias: true };
      return this.#layers.toImage(this.#layers.linear(tokens, name, spec), `${name}/image`, like);
    }
    const image = this.#layers.toImage(tokens, `${name}/image`, like);
    return this.#layers.conv2d(image, name, { inChannels: channels, outChannels: channels, kernel: 1 });
  }

  /** diffusers' BasicTransformerBlock. */
  #transformerBlock(input: Value, text: Value, name: string, features: number, heads: number): Value {
    const layers = this.#layers;
    const norm = (x: Value, index: number) =>
      layers.layerNorm(x, `${name}.norm${index}`, { features, epsilon: 1e-5 });
    const attention = (contextFeatures: number): AttentionSpec => ({
      heads,
      features,
      contextFeatures,
      innerFeatures: features,
      projections: ['to_q', 'to_k', 'to_v', 'to_out.0'],
      bias: false,
      causal: false,
    });
    let x = input;
    x = layers.add(
      layers.selfAttention(norm(x, 1), `${name}.attn1`, attention(features)),
      x,
      `${name}.attn1/sum`,
    );
    const cross = attention(this.#config.crossAttentionDim);
    x = layers.add(layers.crossAttention(norm(x, 2), text, `${name}.attn2`, cross), x, `${name}.attn2/sum`);
    const fed = layers.feedForward(norm(x, 3), `${name}.ff`, {
      features,
      innerFeatures: 4 * features,
      activation: 'geglu',
    });
    return layers.add(fed, x, name);
  }
}
