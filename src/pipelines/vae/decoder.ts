import type { GridSize } from '../../base/sizes.js';
import type { WeightOptions, WeightSource } from '../../checkpoint/weights.js';
import type { Device } from '../../engine/device.js';
import type { ExecutableOptions } from '../../engine/executable.js';
import {
  type AutoencoderKLConfig,
  AutoencoderKLDecoder,
  decoderNames,
  vaeScaleFactor,
  withCurrentAttentionNames,
} from '../../models/autoencoder-kl.js';
import { elementCount, float32, type Tensor, uint8 } from '../../tensor/tensor.js';
import { type TileListener, VaeHalf, type VaeHalfModel } from './half.js';
import { onlyRankPlacement, type VaePlacement } from './placement.js';
import { decoderTiling } from './tiling.js';

/** Where a VAE's weights come from. */
export interface VaeSource {
  weights(component: 'vae', options?: WeightOptions): Promise<WeightSource>;
}

/** Latents to pictures, one image at a time so that memory does not grow with their number. */
export class LatentDecoder {
  readonly #config: AutoencoderKLConfig;
  readonly #half: VaeHalf;

  private constructor(config: AutoencoderKLConfig, half: VaeHalf) {
    this.#config = config;
    this.#half = half;
  }

  /** A decoder of latents of this size on this rank alone. */
  static async load(
    device: Device,
    source: VaeSource,
    config: AutoencoderKLConfig,
    size: GridSize,
    options: ExecutableOptions,
  ): Promise<LatentDecoder> {
    const decoder = await LatentDecoder.prepare(device, source, config, size, onlyRankPlacement());
    await decoder.load(options);
    return decoder;
  }

  /** Builds this rank's part of a decoder, which reserves its slots; `load` makes it ready. */
  static async prepare(
    device: Device,
    source: VaeSource,
    config: AutoencoderKLConfig,
    size: GridSize,
    placement: VaePlacement,
  ): Promise<LatentDecoder> {
    const weights = withCurrentAttentionNames(await source.weights('vae', { types: device.weightTypes }));
    return new LatentDecoder(config, decoderHalf(device, config, weights, size, placement));
  }

  /** `options.communicator` has the slots that `prepare` reserved. */
  load(options: ExecutableOptions): Promise<void> {
    return this.#half.load(options);
  }

  /**
   * latents `[images, channels, rows, columns]`, on every rank -> `[images, 3, height, width]`, about -1…1,
   * on the first rank; undefined on the others.
   */
  async decode(latents: Tensor<'float32'>, onTile?: TileListener): Promise<Tensor<'float32'> | undefined> {
    const channels = latents.shape[1] as number;
    const decoded = await this.#half.run(latents, (image) => unscale(image, channels, this.#config), onTile);
    return decoded.length === 0 ? undefined : concatImages(decoded);
  }

  release(): void {
    this.#half.release();
  }
}

/** Undoes the standardisation of latents `[images, channels, rows, columns]`. */
export function unscaledLatents(
  { shape, data }: Tensor<'float32'>,
  config: AutoencoderKLConfig,
): Tensor<'float32'> {
  const [images, channels] = shape as [number, number];
  const image = data.length / images;
  const unscaled = new Float32Array(data.length);
  for (let start = 0; start < data.length; start += image) {
    unscaled.set(unscale(data.subarray(start, start + image), channels, config), start);
  }
  return float32(shape, unscaled);
}

/** The same of one image, as diffusers' SDXL pipeline before vae.decode. */
function unscale(
  latents: Float32Array,
  channels: number,
  { scalingFactor, shiftFactor, latentsMean, latentsStd }: AutoencoderKLConfig,
): Float32Array {
  const plane = latents.length / channels;
  return latents.map((value, index) => {
    const channel = Math.floor(index / plane);
    const std = latentsStd?.[channel] ?? 1;
    return (value * std) / scalingFactor + (latentsMean?.[channel] ?? shiftFactor);
  });
}

/** The decoder's graphs for latents of this size. */
export function decoderHalf(
  device: Device,
  config: AutoencoderKLConfig,
  weights: WeightSource,
  size: GridSize,
  { place, slots, tilePixels }: VaePlacement,
): VaeHalf {
  const tiling = tilePixels === undefined ? undefined : decoderTiling(tilePixels, vaeScaleFactor(config));
  return new VaeHalf(device, decoderModel(config), weights, size, { place, slots, tiling });
}

function decoderModel(config: AutoencoderKLConfig): VaeHalfModel {
  return {
    input: decoderNames.latents,
    halvings: 0,
    build: (layers, size) => new AutoencoderKLDecoder(config, layers).build({ batch: 1, ...size }),
  };
}

/**
 * `[images, 3, height, width]` in -1…1 -> `[images, height, width, 3]` in 0…255, as diffusers'
 * VaeImageProcessor.
 */
export function toPixels({ shape, data }: Tensor<'float32'>): Tensor<'uint8'> {
  const [images, channels, height, width] = shape as [number, number, number, number];
  const plane = height * width;
  const pixels = new Uint8Array(data.length);
  for (let image = 0; image < images; image++) {
    for (let channel = 0; channel < channels; channel++) {
      const source = (image * channels + channel) * plane;
      const target = image * channels * plane + channel;
      for (let index = 0; index < plane; index++) {
        const value = Math.min(Math.max((data[source + index] as number) / 2 + 0.5, 0), 1);
        pixels[target + index * channels] = Math.round(value * 255);
      }
    }
  }
  return uint8([images, height, width, channels], pixels);
}

function concatImages(images: readonly Tensor<'float32'>[]): Tensor<'float32'> {
  const shape = images[0]?.shape.slice(1) ?? [];
  const length = elementCount(shape);
  const data = new Float32Array(images.length * length);
  for (const [index, image] of images.entries()) data.set(image.data, index * length);
  return float32([images.length, ...shape], data);
}
