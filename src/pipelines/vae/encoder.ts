import { expected } from '../../base/errors.js';
import type { GridSize, PictureSize } from '../../base/sizes.js';
import type { WeightSource } from '../../checkpoint/weights.js';
import type { Device } from '../../engine/device.js';
import type { ExecutableOptions } from '../../engine/executable.js';
import type { Graph } from '../../graph/graph.js';
import { ChannelsLastKernels } from '../../graph/kernels/channels-last.js';
import {
  type AutoencoderKLConfig,
  AutoencoderKLEncoder,
  encoderNames,
  vaeScaleFactor,
  withCurrentAttentionNames,
} from '../../models/autoencoder-kl.js';
import { float32, type Tensor } from '../../tensor/tensor.js';
import type { VaeSource } from './decoder.js';
import { type TileListener, VaeHalf, type VaeHalfModel } from './half.js';
import { onlyRankPlacement, type VaePlacement } from './placement.js';
import { encoderTiling } from './tiling.js';

/** A normal distribution per element of latents, as diffusers' DiagonalGaussianDistribution; not scaled. */
export interface LatentDistribution {
  /** `[images, channels, rows, columns]`; also the mode. */
  readonly mean: Tensor<'float32'>;
  /** Of the same shape, clamped to -30…20. */
  readonly logvar: Tensor<'float32'>;
}

/** Of the sums of norms: in double precision, or as torch rounds those of a picture. */
export type EncoderRounding = 'exact' | 'torch';

/** Pictures to latents, one image at a time so that memory does not grow with their number. */
export class LatentEncoder {
  readonly #config: AutoencoderKLConfig;
  readonly #half: VaeHalf;

  private constructor(config: AutoencoderKLConfig, half: VaeHalf) {
    this.#config = config;
    this.#half = half;
  }

  /**
   * An encoder on this rank alone, of pictures of this size: a multiple of `vaeScaleFactor(config)` both
   * ways.
   */
  static async load(
    device: Device,
    source: VaeSource,
    config: AutoencoderKLConfig,
    size: PictureSize,
    options: ExecutableOptions,
  ): Promise<LatentEncoder> {
    const encoder = await LatentEncoder.prepare(device, source, config, size, onlyRankPlacement());
    await encoder.load(options);
    return encoder;
  }

  /**
   * Builds this rank's part of an encoder, which reserves its slots; `load` makes it ready. With rounding
   * `torch`, which only a rank alone can do, pictures get the very latents that diffusers gives them (see
   * ChannelsLastKernels).
   */
  static async prepare(
    device: Device,
    source: VaeSource,
    config: AutoencoderKLConfig,
    size: PictureSize,
    placement: VaePlacement,
    rounding: EncoderRounding = 'exact',
  ): Promise<LatentEncoder> {
    const factor = vaeScaleFactor(config);
    for (const [name, length] of Object.entries(size)) {
      if (length % factor !== 0) throw expected(`a multiple of ${factor}`, `the picture's ${name}`, length);
    }
    const weights = withCurrentAttentionNames(await source.weights('vae', { types: device.weightTypes }));
    const rows = { rows: size.height, columns: size.width };
    return new LatentEncoder(config, encoderHalf(device, config, weights, rows, placement, rounding));
  }

  /** `options.communicator` has the slots that `prepare` reserved. */
  load(options: ExecutableOptions): Promise<void> {
    return this.#half.load(options);
  }

  /**
   * pixels `[images, 3, height, width]` in -1…1, on every rank; the result is on the first rank and undefined
   * on the others.
   */
  async encode(pixels: Tensor<'float32'>, onTile?: TileListener): Promise<LatentDistribution | undefined> {
    const moments = await this.#half.run(pixels, (picture) => picture, onTile);
    return moments.length === 0 ? undefined : splitMoments(moments, this.#config.latentChannels);
  }

  release(): void {
    this.#half.release();
  }
}

/** The encoder's graphs for pictures of this size in pixels. */
export function encoderHalf(
  device: Device,
  config: AutoencoderKLConfig,
  weights: WeightSource,
  size: GridSize,
  { place, slots, tilePixels }: VaePlacement,
  rounding: EncoderRounding = 'exact',
): VaeHalf {
  const tiling = tilePixels === undefined ? undefined : encoderTiling(tilePixels, vaeScaleFactor(config));
  return new VaeHalf(device, encoderModel(config, rounding), weights, size, { place, slots, tiling });
}

function encoderModel(config: AutoencoderKLConfig, rounding: EncoderRounding): VaeHalfModel {
  return {
    ...(rounding === 'torch' ? { createKernels: (graph: Graph) => new ChannelsLastKernels(graph) } : {}),
    input: encoderNames.pixels,
    halvings: config.blockOutChannels.length - 1,
    build: (layers, { rows, columns }) =>
      new AutoencoderKLEncoder(config, layers).build({ batch: 1, height: rows, width: columns }),
  };
}

/** The latents that are `noise` (standard normal, of the same shape) standard deviations off the mean. */
export function sampleLatents(
  { mean, logvar }: LatentDistribution,
  noise: Tensor<'float32'>,
): Tensor<'float32'> {
  const data = mean.data.map((value, index) => {
    const std = Math.fround(Math.exp(0.5 * (logvar.data[index] as number)));
    return value + std * (noise.data[index] as number);
  });
  return float32(mean.shape, data);
}

/**
 * Latents as the UNet knows them, as diffusers' img2img pipelines after vae.encode: the reverse of what
 * LatentDecoder undoes.
 */
export function scaleLatents(latents: Tensor<'float32'>, config: AutoencoderKLConfig): Tensor<'float32'> {
  const { scalingFactor, shiftFactor, latentsMean, latentsStd } = config;
  const [, channels, rows, columns] = latents.shape as [number, number, number, number];
  const data = latents.data.map((value, index) => {
    const channel = Math.floor(index / (rows * columns)) % channels;
    const centred = value - (latentsMean?.[channel] ?? shiftFactor);
    return (centred * scalingFactor) / (latentsStd?.[channel] ?? 1);
  });
  return float32(latents.shape, data);
}

/**
 * Moments `[1, 2 * channels, rows, columns]` of each image: the means of all channels and then their
 * logarithms of variances.
 */
function splitMoments(moments: readonly Tensor<'float32'>[], channels: number): LatentDistribution {
  const [rows, columns] = (moments[0] as Tensor).shape.slice(2) as [number, number];
  const shape = [moments.length, channels, rows, columns];
  const length = channels * rows * columns;
  const mean = float32(shape);
  const logvar = float32(shape);
  for (const [image, { data }] of moments.entries()) {
    mean.data.set(data.subarray(0, length), image * length);
    const clamped = data.subarray(length).map((value) => Math.min(Math.max(value, -30), 20));
    logvar.data.set(clamped, image * length);
  }
  return { mean, logvar };
}

/**
 * `[images, height, width, 3]` in 0…255 -> `[images, 3, height, width]` in -1…1, as diffusers'
 * VaeImageProcessor.
 */
export function fromPixels({ shape, data }: Tensor<'uint8'>): Tensor<'float32'> {
  const [images, height, width, channels] = shape as [number, number, number, number];
  const plane = height * width;
  const pixels = float32([images, channels, height, width]);
  for (let image = 0; image < images; image++) {
    for (let channel = 0; channel < channels; channel++) {
      const target = (image * channels + channel) * plane;
      const source = image * channels * plane + channel;
      for (let index = 0; index < plane; index++) {
        const value = Math.fround((data[source + index * channels] as number) / 255);
        pixels.data[target + index] = 2 * value - 1;
      }
    }
  }
  return pixels;
}
