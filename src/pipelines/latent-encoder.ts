import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { Graph } from '../graph/graph.js';
import { Kernels } from '../graph/kernels.js';
import {
  type AutoencoderKLConfig,
  AutoencoderKLEncoder,
  encoderNames,
  vaeScaleFactor,
  withCurrentAttentionNames,
} from '../models/autoencoder-kl.js';
import type { Addon } from '../native/addon.js';
import { SingleDevice } from '../parallel/single-device.js';
import { expected } from '../runtime/errors.js';
import { Executable, type ExecutableOptions, floatResult } from '../runtime/executable.js';
import { elementCount, float32, type Tensor } from '../tensor/tensor.js';

/** A normal distribution per element of latents, as diffusers' DiagonalGaussianDistribution; not scaled. */
export interface LatentDistribution {
  /** `[images, channels, rows, columns]`; also the mode. */
  readonly mean: Tensor<'float32'>;
  /** Of the same shape, clamped to -30…20. */
  readonly logvar: Tensor<'float32'>;
}

/** Pictures to latents, one image at a time so that memory does not grow with their number. */
export class LatentEncoder {
  readonly #config: AutoencoderKLConfig;
  readonly #model: Executable;
  readonly #output: string;

  private constructor(config: AutoencoderKLConfig, model: Executable, output: string) {
    this.#config = config;
    this.#model = model;
    this.#output = output;
  }

  /** For pictures of this size in pixels, a multiple of `vaeScaleFactor(config)` both ways. */
  static async load(
    addon: Addon,
    checkpoint: Checkpoint,
    config: AutoencoderKLConfig,
    size: { height: number; width: number },
    options: ExecutableOptions,
  ): Promise<LatentEncoder> {
    const factor = vaeScaleFactor(config);
    for (const [name, length] of Object.entries(size)) {
      if (length % factor !== 0) throw expected(`a multiple of ${factor}`, `the picture's ${name}`, length);
    }
    const kernels = new Kernels(new Graph());
    const layers = new SingleDevice(kernels, withCurrentAttentionNames(await checkpoint.weights('vae')));
    const output = new AutoencoderKLEncoder(config, layers, kernels).build({ batch: 1, ...size });
    const model = await Executable.load(addon, kernels.graph.compile().step, options);
    return new LatentEncoder(config, model, output.name);
  }

  /** pixels `[images, 3, height, width]` in -1…1. */
  async encode(pixels: Tensor<'float32'>): Promise<LatentDistribution> {
    const [images, ...rest] = pixels.shape as [number, number, number, number];
    const length = elementCount(rest);
    const moments: Float32Array[] = [];
    let shape: readonly number[] = [];
    for (let image = 0; image < images; image++) {
      const picture = pixels.data.subarray(image * length, (image + 1) * length);
      const result = await this.#model.run({ [encoderNames.pixels]: float32([1, ...rest], picture) });
      const output = floatResult(result, this.#output);
      moments.push(output.data.slice());
      shape = output.shape;
    }
    const [, , rows, columns] = shape as [number, number, number, number];
    return splitMoments(moments, [images, this.#config.latentChannels, rows, columns]);
  }

  release(): void {
    this.#model.release();
  }
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

/** Latents as the UNet knows them, as diffusers' img2img pipelines after vae.encode: the reverse of what LatentDecoder undoes. */
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

/** `moments`: per image, the means of all channels and then their logarithms of variances. */
function splitMoments(moments: readonly Float32Array[], shape: readonly number[]): LatentDistribution {
  const length = elementCount(shape.slice(1));
  const mean = float32(shape);
  const logvar = float32(shape);
  for (const [image, values] of moments.entries()) {
    mean.data.set(values.subarray(0, length), image * length);
    const clamped = values.subarray(length).map((value) => Math.min(Math.max(value, -30), 20));
    logvar.data.set(clamped, image * length);
  }
  return { mean, logvar };
}
