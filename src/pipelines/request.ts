import type { OptionValue } from '../base/option-spec.js';
import type { PictureSource } from '../images/picture.js';
import type { SchedulerName } from '../schedulers/registry.js';
import type { RngName } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';

/** Image to image: what to begin with. */
export interface InitImage {
  /** The absolute path of a file on the first rank's host, or what such a file holds. */
  readonly picture: PictureSource;
  /** Above 0, at most 1: the share of the steps that are taken, and so how little is left of the picture. */
  readonly strength: number;
}

export const outputTypes = ['pil', 'latent'] as const;
/** As diffusers' `output_type`: pictures, or the latents that the VAE would decode. @useDeclaredType */
export type OutputType = (typeof outputTypes)[number];

/** What to draw. Names and meanings are those of `__call__` of diffusers' pipelines. */
export interface GenerationRequest {
  /** One batch. */
  readonly prompt: readonly string[];
  /** Empty, one for all prompts, or one for each. */
  readonly negativePrompt: readonly string[];
  /** In pixels, as asked for. */
  readonly height: number;
  /** In pixels, as asked for. */
  readonly width: number;
  /** As asked for: image to image takes the share `strength` of them. */
  readonly numInferenceSteps: number;
  /** Above 1 each step predicts two images, with the prompt and without. */
  readonly guidanceScale: number;
  /** Does so in place of `guidanceScale` for models that are told that number. */
  readonly trueCfgScale?: number | undefined;
  /** 0 to 1: noise of schedulers that add as much as they are asked for. */
  readonly eta: number;
  /** The batch has so many pictures of the first prompt, then of the second, … */
  readonly numImagesPerPrompt: number;
  /** With the configuration of the checkpoint's, whichever class that is of. */
  readonly scheduler: SchedulerName;
  /** Of the one generator of the batch. */
  readonly seed: bigint;
  /** Which of torch's generators makes the noise. */
  readonly rng: RngName;
  /** Undefined for text to image. */
  readonly initImage?: InitImage | undefined;
  /** Random weights have no VAE, so with them it is always `latent`. */
  readonly outputType: OutputType;
  /** Keep every step's tensors (see Generation.trace). */
  readonly trace: boolean;
  /** Options of the family, by their names in camel case. */
  readonly familyOptions: Readonly<Record<string, OptionValue>>;
}

/** The scale of classifier-free guidance; undefined where each step predicts with the prompt alone. */
export function guidanceOf({
  guidanceScale,
  trueCfgScale = guidanceScale,
}: Pick<GenerationRequest, 'guidanceScale' | 'trueCfgScale'>): number | undefined {
  return trueCfgScale > 1 ? trueCfgScale : undefined;
}

/** Pictures of a request. */
export function imageCount(request: Pick<GenerationRequest, 'prompt' | 'numImagesPerPrompt'>): number {
  return request.prompt.length * request.numImagesPerPrompt;
}

/** One rank's result. Only rank 0 has images and a trace; every rank has the same latents. */
export interface Generation {
  /** `[images, channels, rows, columns]`, before the division by the VAE's scaling factor. */
  readonly latents: Tensor<'float32'>;
  /** `[images, height, width, 3]`; absent for `outputType: 'latent'`. */
  readonly images?: Tensor<'uint8'>;
  /** Named as in diffusers: init_noise, noise_pred_000, latents_000, … prompt_embeds, decoded. */
  readonly trace?: Readonly<Record<string, Tensor>>;
}
