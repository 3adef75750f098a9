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
export type OutputType = (typeof outputTypes)[number];

/** What to draw. Names and meanings are those of `__call__` of diffusers' pipelines. */
export interface GenerationRequest {
  readonly prompt: readonly string[];
  /** Empty, one for all prompts, or one for each. */
  readonly negativePrompt: readonly string[];
  readonly height: number;
  readonly width: number;
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
  /** Noise of schedulers that add as much as they are asked for. */
  readonly eta: number;
  readonly numImagesPerPrompt: number;
  readonly scheduler: SchedulerName;
  readonly seed: bigint;
  readonly rng: RngName;
  readonly initImage?: InitImage | undefined;
  readonly outputType: OutputType;
  /** Keep every step's tensors (see Generation.trace). */
  readonly trace: boolean;
  /** Options of the family, by their names in camel case. */
  readonly familyOptions: Readonly<Record<string, OptionValue>>;
}

/** Pictures of a request. */
export function imageCount(request: Pick<GenerationRequest, 'prompt' | 'numImagesPerPrompt'>): number {
  return request.prompt.length * request.numImagesPerPrompt;
}

/** One rank's result. Only rank 0 has images and a trace; every rank has the same latents. */
export interface Generation {
  /** `[images, channels, rows, columns]`, before the division by the VAE's scaling factor. */
  readonly latents: Tensor<'float32'>;
  /** `[images, height, width, 3]`. */
  readonly images?: Tensor<'uint8'>;
  /** Named as in diffusers: init_noise, noise_pred_000, latents_000, … prompt_embeds, decoded. */
  readonly trace?: Readonly<Record<string, Tensor>>;
}
