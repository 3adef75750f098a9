import type { Value } from '../graph/graph.js';
import type { Kernels } from '../graph/kernels.js';
import type { Layers } from '../parallel/layers.js';
import { ConfigReader, limits, type RawConfig } from './config.js';

/** What config.json says of an AutoencoderKL, checked. */
export interface AutoencoderKLConfig {
  readonly latentChannels: number;
  readonly outChannels: number;
  readonly blockOutChannels: readonly number[];
  readonly layersPerBlock: number;
  readonly groups: number;
  readonly scalingFactor: number;
  readonly shiftFactor: number;
  /** Per channel, where the latents are standardised so. */
  readonly latentsMean: readonly number[] | undefined;
  readonly latentsStd: readonly number[] | undefined;
  readonly usePostQuantConv: boolean;
  readonly midBlockAttention: boolean;
}

/** Reads a VAE's config.json as diffusers' AutoencoderKL does. */
export function readAutoencoderKLConfig(raw: RawConfig): AutoencoderKLConfig {
  const reader = new ConfigReader('vae', raw);
  reader.refuseUnsupported({ act_fn: ['silu'] });
  reader.choices('up_block_types', ['UpDecoderBlock2D']);
  const latentChannels = reader.integer('latent_channels', 4);
  const blockOutChannels = reader.integers('block_out_channels', [64]);
  const groups = reader.integer('norm_num_groups', 32);
  for (const width of blockOutChannels) {
    reader.checkDivides('block_out_channels', width, 'norm_num_groups', groups);
  }
  return {
    latentChannels,
    outChannels: reader.integer('out_channels', 3),
    blockOutChannels,
    layersPerBlock: reader.integer('layers_per_block', 1, limits.layers),
    groups,
    scalingFactor: reader.nonZero('scaling_factor', 0.18215),
    shiftFactor: reader.number('shift_factor', 0),
    latentsMean: reader.numbers('latents_mean', latentChannels),
    latentsStd: reader.numbers('latents_std', latentChannels),
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

const epsilon = 1e-6;

/** Latents to pixels, as diffusers' AutoencoderKL.decode. */
export class AutoencoderKLDecoder {
  readonly #config: AutoencoderKLConfig;
  readonly #layers: Layers;
  readonly #kernels: Kernels;

  constructor(config: AutoencoderKLConfig, layers: Layers, kernels: Kernels) {
    this.#config = config;
    this.#layers = layers;
    this.#kernels = kernels;
  }

  /** Declares latents `[batch, latentChannels, rows, columns]` (divided by the scaling factor) and the pixels `[batch, 3, 8 rows, 8 columns]`, about -1…1, which it returns. */
  build({ batch, rows, columns }: { batch: number; rows: number; columns: number }): Value {
    const { latentChannels, blockOutChannels, usePostQuantConv } = this.#config;
    const graph = this.#kernels.graph;
    let x = graph.input(decoderNames.latents, 'float32', [batch, latentChannels, rows, columns], 'step');
    const same = { inChannels: latentChannels, outChannels: latentChannels, kernel: 1 } as const;
    if (usePostQuantConv) x = this.#layers.conv2d(x, 'post_quant_conv', same);
    const deepest = blockOutChannels.at(-1) as number;
    x = this.#layers.convIn(x, 'decoder.conv_in', {
      inChannels: latentChannels,
      outChannels: deepest,
      kernel: 3,
    });
    x = this.#midBlock(x, deepest);
    for (const [index, channels] of blockOutChannels.toReversed().entries())
      x = this.#upBlock(x, index, channels);
    const decoded = this.#convOut(x);
    graph.output(decoded);
    return decoded;
  }

  #midBlock(input: Value, channels: number): Value {
    let x = this.#resnet(input, 'decoder.mid_block.resnets.0', channels);
    if (this.#config.midBlockAttention) x = this.#attention(x, 'decoder.mid_block.attentions.0', channels);
    return this.#resnet(x, 'decoder.mid_block.resnets.1', channels);
  }

  #upBlock(input: Value, index: number, channels: number): Value {
    const { layersPerBlock, blockOutChannels } = this.#config;
    const name = `decoder.up_blocks.${index}`;
    let x = input;
    for (let layer = 0; layer <= layersPerBlock; layer++) {
      x = this.#resnet(x, `${name}.resnets.${layer}`, channels);
    }
    if (index === blockOutChannels.length - 1) return x;
    const enlarged = this.#layers.upsample(x, `${name}.upsamplers.0`, undefined);
    const conv = { inChannels: channels, outChannels: channels, kernel: 3 } as const;
    return this.#layers.conv2d(enlarged, `${name}.upsamplers.0.conv`, conv);
  }

  #convOut(x: Value): Value {
    const { groups, outChannels } = this.#config;
    const channels = x.shape[1] as number;
    const norm = { channels, groups, epsilon, activation: 'silu' } as const;
    const conv = { inChannels: channels, outChannels, kernel: 3 } as const;
    const own = this.#layers.normedConv2d(x, 'decoder.conv_norm_out', norm, 'decoder.conv_out', conv);
    return this.#layers.gatherOutput(own, 'decoded');
  }

  #resnet(x: Value, name: string, outChannels: number): Value {
    const inChannels = x.shape[1] as number;
    const spec = { inChannels, outChannels, groups: this.#config.groups, epsilon, timeFeatures: undefined };
    return this.#layers.resnet(x, undefined, name, spec);
  }

  /** Attention of one head over all pixels, plus the input. */
  #attention(x: Value, name: string, channels: number): Value {
    const norm = { channels, groups: this.#config.groups, epsilon, activation: 'none' } as const;
    const normed = this.#layers.groupNorm(x, `${name}.group_norm`, norm);
    const tokens = this.#layers.toTokens(normed, `${name}/tokens`);
    const mixed = this.#layers.selfAttention(tokens, name, {
      heads: 1,
      features: channels,
      contextFeatures: channels,
      innerFeatures: channels,
      projections: ['to_q', 'to_k', 'to_v', 'to_out.0'],
      bias: true,
      causal: false,
    });
    return this.#layers.add(this.#layers.toImage(mixed, `${name}/image`, x), x, name);
  }
}
