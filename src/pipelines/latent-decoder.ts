import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { Graph } from '../graph/graph.js';
import { Kernels } from '../graph/kernels.js';
import {
  type AutoencoderKLConfig,
  AutoencoderKLDecoder,
  decoderNames,
  withCurrentAttentionNames,
} from '../models/autoencoder-kl.js';
import type { Addon } from '../native/addon.js';
import { SingleDevice } from '../parallel/single-device.js';
import { Executable, type ExecutableOptions, floatResult } from '../runtime/executable.js';
import { elementCount, float32, type Tensor, uint8 } from '../tensor/tensor.js';

/** Latents to pictures, one image at a time so that memory does not grow with their number. */
export class LatentDecoder {
  readonly #config: AutoencoderKLConfig;
  readonly #model: Executable;
  readonly #output: string;

  private constructor(config: AutoencoderKLConfig, model: Executable, output: string) {
    this.#config = config;
    this.#model = model;
    this.#output = output;
  }

  static async load(
    addon: Addon,
    checkpoint: Checkpoint,
    config: AutoencoderKLConfig,
    size: { rows: number; columns: number },
    options: ExecutableOptions,
  ): Promise<LatentDecoder> {
    const kernels = new Kernels(new Graph());
    const layers = new SingleDevice(kernels, withCurrentAttentionNames(await checkpoint.weights('vae')));
    const output = new AutoencoderKLDecoder(config, layers, kernels).build({ batch: 1, ...size });
    const model = await Executable.load(addon, kernels.graph.compile().step, options);
    return new LatentDecoder(config, model, output.name);
  }

  /** latents `[images, channels, rows, columns]` -> `[images, 3, height, width]`, about -1…1. */
  async decode(latents: Tensor<'float32'>): Promise<Tensor<'float32'>> {
    const [images, ...rest] = latents.shape as [number, number, number, number];
    const length = elementCount(rest);
    const decoded: Tensor<'float32'>[] = [];
    for (let image = 0; image < images; image++) {
      const scaled = this.#unscale(latents.data.subarray(image * length, (image + 1) * length), rest[0]);
      const result = await this.#model.run({ [decoderNames.latents]: float32([1, ...rest], scaled) });
      const { shape, data } = floatResult(result, this.#output);
      decoded.push(float32(shape, data.slice()));
    }
    return concatImages(decoded);
  }

  release(): void {
    this.#model.release();
  }

  /** Undoes the standardisation of latents, as diffusers' SDXL pipeline before vae.decode. */
  #unscale(latents: Float32Array, channels: number): Float32Array {
    const { scalingFactor, shiftFactor, latentsMean, latentsStd } = this.#config;
    const plane = latents.length / channels;
    return latents.map((value, index) => {
      const channel = Math.floor(index / plane);
      const std = latentsStd?.[channel] ?? 1;
      return (value * std) / scalingFactor + (latentsMean?.[channel] ?? shiftFactor);
    });
  }
}

/** `[images, 3, height, width]` in -1…1 -> `[images, height, width, 3]` in 0…255, as diffusers' VaeImageProcessor. */
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
