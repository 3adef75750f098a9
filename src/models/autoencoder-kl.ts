import { ConfigReader, limits, type RawConfig } from '../base/config-reader.js';
import type { WeightSource } from '../checkpoint/weights.js';
import type { Value } from '../graph/value.js';
import type { Layers } from '../parallel/layers/layers.js';

/** What config.json says of an AutoencoderKL, checked. */
export interface AutoencoderKLConfig {
  /** Side in pixels of the pictures that it was made for. */
  readonly sampleSize: number;
  readonly latentChannels: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly blockOutChannels: readonly number[];
  readonly layersPerBlock: number;
  readonly groups: number;
  readonly scalingFactor: number;
  readonly shiftFactor: number;
  /** Per channel, where the latents are standardised so. */
  readonly latentsMean: readonly number[] | undefined;
  readonly latentsStd: readonly number[] | undefined;
  readonly useQuantConv: boolean;
  readonly usePostQuantConv: boolean;
  readonly midBlockAttention: boolean;
}

/** Reads a VAE's config.json as diffusers' AutoencoderKL does. */
export function readAutoencoderKLConfig(raw: RawConfig): AutoencoderKLConfig {
  const reader = new ConfigReader('vae/config.json', raw);
  reader.refuseUnsupported({ act_fn: ['silu'] });
  reader.choices('up_block_types', ['UpDecoderBlock2D']);
  if (reader.has('down_block_types')) reader.choices('down_block_types', ['DownEncoderBlock2D']);
  const latentChannels = reader.integer('latent_channels', 4);
  const blockOutChannels = reader.integers('block_out_channels', [64]);
  const groups = reader.integer('norm_num_groups', 32);
  for (const width of blockOutChannels) {
    reader.checkDivides('block_out_channels', width, 'norm_num_groups', groups);
  }
  return {
    sampleSize: reader.integer('sample_size', 512),
    latentChannels,
    inChannels: reader.integer('in_channels', 3),
    outChannels: reader.integer('out_channels', 3),
    blockOutChannels,
    layersPerBlock: reader.integer('layers_per_block', 1, { most: limits.layers }),
    groups,
    scalingFactor: reader.nonZero('scaling_factor', 0.18215),
    shiftFactor: reader.number('shift_factor', 0),
    latentsMean: reader.numbers('latents_mean', latentChannels),
    latentsStd: reader.numbers('latents_std', latentChannels),
    useQuantConv: reader.boolean('use_quant_conv', true),
    usePostQuantConv: reader.boolean('use_post_quant_conv', true),
    midBlockAttention: reader.boolean('mid_block_add_attention', true),
  };
}

/** How many pixels a latent is wide and high. */
export function vaeScaleFactor(config: AutoencoderKLConfig): number {
  return 2 ** (config.blockOutChannels.length - 1);
}

/** Names of the decoder graph's input. */
export const decoderNames = { latents: 'latents' } as const;

/** Names of the encoder graph's input. */
export const encoderNames = { pixels: 'pixels' } as const;

const epsilon = 1e-6;

/** What encoder and decoder have in common. `name` is the module's path: `encoder` or `decoder`. */
class AutoencoderKLPart {
  protected readonly config: AutoencoderKLConfig;
  protected readonly layers: Layers;
  readonly #name: string;

  constructor(name: string, config: AutoencoderKLConfig, layers: Layers) {
    this.config = config;
    this.layers = layers;
    this.#name = name;
  }

  protected convIn(x: Value, inChannels: number, outChannels: number): Value {
    return this.layers.convIn(x, `${this.#name}.conv_in`, { inChannels, outChannels, kernel: 3 });
  }

  protected midBlock(input: Value, channels: number): Value {
    const name = `${this.#name}.mid_block`;
    let x = this.resnet(input, `${name}.resnets.0`, channels);
    if (this.config.midBlockAttention) x = this.#attention(x, `${name}.attentions.0`, channels);
    return this.resnet(x, `${name}.resnets.1`, channels);
  }

  protected resnet(x: Value, name: string, outChannels: number): Value {
    const inChannels = x.shape[1] as number;
    const spec = { inChannels, outChannels, groups: this.config.groups, epsilon, timeFeatures: undefined };
    return this.layers.resnet(x, undefined, name, spec);
  }

  protected convOut(x: Value, outChannels: number): Value {
    const channels = x.shape[1] as number;
    const norm = { channels, groups: this.config.groups, epsilon, activation: 'silu' } as const;
    const conv = { inChannels: channels, outChannels, kernel: 3 } as const;
    return this.layers.normedConv2d(x, `${this.#name}.conv_norm_out`, norm, `${this.#name}.conv_out`, conv);
  }

  /** Attention of one head over all pixels, plus the input. */
  #attention(x: Value, name: string, channels: number): Value {
    const norm = { channels, groups: this.config.groups, epsilon, activation: 'none' } as const;
    const normed = this.layers.groupNorm(x, `${name}.group_norm`, norm);
    const tokens = this.layers.toTokens(normed, `${name}/tokens`);
    const mixed = this.layers.selfAttention(tokens, name, {
      heads: 1,
      features: channels,
      contextFeatures: channels,
      innerFeatures: channels,
      projections: attentionNames.current,
      bias: true,
      causal: false,
    });
    return this.layers.add(this.layers.toImage(mixed, `${name}/image`, x), x, name);
  }
}

/** Latents to pixels, as diffusers' AutoencoderKL.decode. */
export class AutoencoderKLDecoder extends AutoencoderKLPart {
  constructor(config: AutoencoderKLConfig, layers: Layers) {
    super('decoder', config, layers);
  }

  /**
   * Declares latents `[batch, latentChannels, rows, columns]` (divided by the scaling factor) and the pixels
   * `[batch, 3, 8 rows, 8 columns]`, about -1…1, which it returns.
   */
  build({ batch, rows, columns }: { batch: number; rows: number; columns: number }): Value {
    const { latentChannels, blockOutChannels, usePostQuantConv, outChannels } = this.config;
    const graph = this.layers.kernels.graph;
    let x = graph.input(decoderNames.latents, 'float32', [batch, latentChannels, rows, columns], 'step');
    const same = { inChannels: latentChannels, outChannels: latentChannels, kernel: 1 } as const;
    if (usePostQuantConv) x = this.layers.conv2d(x, 'post_quant_conv', same);
    const deepest = blockOutChannels.at(-1) as number;
    x = this.midBlock(this.convIn(x, latentChannels, deepest), deepest);
    for (const [index, channels] of blockOutChannels.toReversed().entries())
      x = this.#upBlock(x, index, channels);
    const decoded = this.layers.gatherOutput(this.convOut(x, outChannels), 'decoded');
    graph.output(decoded);
    return decoded;
  }

  #upBlock(input: Value, index: number, channels: number): Value {
    const { layersPerBlock, blockOutChannels } = this.config;
    const name = `decoder.up_blocks.${index}`;
    let x = input;
    for (let layer = 0; layer <= layersPerBlock; layer++) {
      x = this.resnet(x, `${name}.resnets.${layer}`, channels);
    }
    if (index === blockOutChannels.length - 1) return x;
    const enlarged = this.layers.upsample(x, `${name}.upsamplers.0`, undefined);
    const conv = { inChannels: channels, outChannels: channels, kernel: 3 } as const;
    return this.layers.conv2d(enlarged, `${name}.upsamplers.0.conv`, conv);
  }
}

/** Pixels to the moments of their latents, as diffusers' AutoencoderKL.encode. */
export class AutoencoderKLEncoder extends AutoencoderKLPart {
  constructor(config: AutoencoderKLConfig, layers: Layers) {
    super('encoder', config, layers);
  }

  /**
   * Declares pixels `[batch, inChannels, height, width]` in -1…1 (height and width multiples of
   * `vaeScaleFactor`) and the moments `[batch, 2 * latentChannels, rows, columns]`, means and then logarithms
   * of variances, which it returns.
   */
  build({ batch, height, width }: { batch: number; height: number; width: number }): Value {
    const { inChannels, latentChannels, blockOutChannels, useQuantConv } = this.config;
    const graph = this.layers.kernels.graph;
    const pixels = graph.input(encoderNames.pixels, 'float32', [batch, inChannels, height, width], 'step');
    let x = this.convIn(pixels, inChannels, blockOutChannels[0] as number);
    for (const [index, channels] of blockOutChannels.entries()) x = this.#downBlock(x, index, channels);
    const moments = 2 * latentChannels;
    x = this.convOut(this.midBlock(x, x.shape[1] as number), moments);
    const same = { inChannels: moments, outChannels: moments, kernel: 1 } as const;
    if (useQuantConv) x = this.layers.conv2d(x, 'quant_conv', same);
    const encoded = this.layers.gatherOutput(x, 'moments');
    graph.output(encoded);
    return encoded;
  }

  #downBlock(input: Value, index: number, channels: number): Value {
    const { layersPerBlock, blockOutChannels } = this.config;
    const name = `encoder.down_blocks.${index}`;
    let x = input;
    for (let layer = 0; layer < layersPerBlock; layer++) {
      x = this.resnet(x, `${name}.resnets.${layer}`, channels);
    }
    if (index === blockOutChannels.length - 1) return x;
    const conv = {
      inChannels: channels,
      outChannels: channels,
      kernel: 3,
      stride: 2,
      zeros: 'after',
    } as const;
    return this.layers.conv2d(x, `${name}.downsamplers.0.conv`, conv);
  }
}

/** Query, key, value and output of the mid-blocks' attention. */
const attentionNames = {
  current: ['to_q', 'to_k', 'to_v', 'to_out.0'],
  /** In the first Stable Diffusion checkpoints. */
  deprecated: ['query', 'key', 'value', 'proj_attn'],
} as const;

/**
 * A VAE's weights under diffusers' current names, whatever names the checkpoint has, as
 * `_convert_deprecated_attention_blocks`.
 */
export function withCurrentAttentionNames(weights: WeightSource): WeightSource {
  const stored = (name: string) => {
    if (weights.has(name)) return name;
    const index = attentionNames.current.findIndex((part) => name.includes(`.attentions.0.${part}.`));
    if (index < 0) return name;
    const [current, deprecated] = [attentionNames.current[index], attentionNames.deprecated[index]];
    const older = name.replace(`.attentions.0.${current}.`, `.attentions.0.${deprecated}.`);
    return weights.has(older) ? older : name;
  };
  return {
    get: (name, shape) => weights.get(stored(name), shape),
    has: (name) => weights.has(stored(name)),
    names: () => weights.names(),
    entries: weights.entries,
    bytes: weights.bytes,
  };
}
