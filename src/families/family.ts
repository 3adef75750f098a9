import type { PipelineClass } from '../checkpoint/pipeline-classes.js';
import { integer, type Parser, side } from '../commands/options/parsers.js';
import { type ParallelismName, parallelismNames, transformerParallelismNames } from '../pipelines/request.js';
import type { SchedulerName } from '../schedulers/registry.js';
import type { ArchitectureClass } from './architectures.js';

/** What the commands that draw have to know of a kind of model. */
export interface ModelFamily {
  readonly pipelineClass: PipelineClass;
  /** The component that predicts noise. */
  readonly denoiser: 'unet' | 'transformer';
  /** The class of those that `--random_weights` names. */
  readonly architecture: ArchitectureClass;
  readonly textEncoders: readonly string[];
  /** The checkpoint that comes with distri, if one does. */
  readonly embedded: boolean;
  /** How ranks can share a picture. */
  readonly parallelisms: readonly ParallelismName[];
  /** Whether `distri plan` knows it, and so `--parallelism auto`. */
  readonly planned: boolean;
  /** Defaults of options, as the public scripts and pipelines have them. */
  readonly steps: number;
  readonly guidanceScale: number;
  /** Undefined for the one that the checkpoint names. */
  readonly scheduler: SchedulerName | undefined;
  /** What sizes there can be. */
  readonly sizes: string;
  /** One of those that `--random_weights` may name. */
  readonly example: string;
  readonly parseSide: (option: string) => Parser<number>;
}

export const sdxlFamily: ModelFamily = {
  pipelineClass: 'StableDiffusionXLPipeline',
  denoiser: 'unet',
  architecture: 'UNet2DConditionModel',
  textEncoders: ['text_encoder', 'text_encoder_2'],
  embedded: true,
  parallelisms: parallelismNames,
  planned: true,
  steps: 50,
  guidanceScale: 5,
  scheduler: 'ddim',
  sizes: 'multiples of 8',
  example: 'sdxl-base-1.0',
  parseSide: side,
};

/** Stable Diffusion 1.x and 2.x. */
export const sdFamily: ModelFamily = {
  pipelineClass: 'StableDiffusionPipeline',
  denoiser: 'unet',
  architecture: 'UNet2DConditionModel',
  textEncoders: ['text_encoder'],
  embedded: false,
  parallelisms: parallelismNames,
  planned: true,
  steps: 50,
  guidanceScale: 7.5,
  scheduler: undefined,
  sizes: 'multiples of 8',
  example: 'sd-1.5',
  parseSide: side,
};

export const pixArtFamily: ModelFamily = {
  pipelineClass: 'PixArtAlphaPipeline',
  denoiser: 'transformer',
  architecture: 'PixArtTransformer2DModel',
  textEncoders: ['text_encoder'],
  embedded: false,
  parallelisms: transformerParallelismNames,
  planned: true,
  steps: 20,
  guidanceScale: 4.5,
  scheduler: 'dpm-solver',
  sizes: 'multiples of 16 without resolution binning',
  example: 'pixart-xl-2',
  parseSide: (option) => integer(option, 1),
};
