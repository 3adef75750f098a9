import type { DtypeName } from '../engine/device.js';
import type { WeightsMode } from '../machine/memory.js';
import type { StrategyName, StrategyOptions } from '../parallel/registry.js';
import type { OutputType } from '../pipelines/request.js';
import type { VaeMode } from '../pipelines/vae/plan.js';
import type { SchedulerName } from '../schedulers/registry.js';
import type { RngName } from '../tensor/random.js';

/**
 * Which model: a folder in diffusers' layout or an id of the Hugging Face hub, or the name of an
 * architecture.
 */
export interface ModelOptions {
  /** Variant of the weight files, such as fp16; by default the only one there is. */
  readonly variant?: string | undefined;
  /** Branch, tag or commit of a hub id; by default main. */
  readonly revision?: string | undefined;
  /** The model is the name of an architecture, which gets random weights: to measure the denoising alone. */
  readonly randomWeights?: boolean | undefined;
}

/**
 * How a model is spread over ranks. Names and meanings are those of the command line in camel case, options
 * of strategies among them (`syncMode`, `warmupSteps`, `ulyssesDegree`, …).
 */
export interface SetupOptions extends Partial<StrategyOptions> {
  /** Rank processes, all groups together; by default 2, or 1 on one CPU. */
  readonly ranks?: number | undefined;
  /** Groups of ranks that draw calls at the same time; divides `ranks`. By default 1. */
  readonly dataParallel?: number | undefined;
  /** Threads of each rank; by default the CPUs divided among the ranks. */
  readonly threads?: number | undefined;
  /**
   * One copy of the weights for all ranks, a faster copy for each, or by default (`auto`) as memory allows.
   */
  readonly weights?: WeightsMode | 'auto' | undefined;
  /** Of weights and activations. By default fp32. */
  readonly dtype?: DtypeName | 'auto' | undefined;
  /** How ranks share a picture; by default patch. `auto`: as a plan recommends. */
  readonly parallelism?: StrategyName | 'auto' | undefined;
  /**
   * Whether an even number of ranks splits the batch of the guidance between two halves of them; by default
   * true.
   */
  readonly splitBatch?: boolean | undefined;
  /** Insist on that: refuse what does not split it. */
  readonly useCfgParallel?: boolean | undefined;
  /** Who runs the VAE; by default auto. */
  readonly vae?: VaeMode | undefined;
  /** Seconds after which a rank that does not answer is given up; by default 60. */
  readonly commTimeout?: number | undefined;
}

/** Options of single families; others ignore them. */
export interface FamilyCallOptions {
  /**
   * PixArt: draw at the nearest size that the model was trained at, and scale and cut the picture. By default
   * true.
   */
  readonly useResolutionBinning?: boolean | undefined;
}

/**
 * What to draw. Names, meanings and defaults are those of `__call__` of diffusers' pipelines, in camel case.
 */
export interface DrawCall extends FamilyCallOptions {
  /**
   * By default the model's own example. Several prompts are one batch, whose pictures share one generator.
   */
  readonly prompt?: string | readonly string[] | undefined;
  /** One for all prompts, or one for each. */
  readonly negativePrompt?: string | readonly string[] | undefined;
  /** In pixels; by default those of the picture to begin with, or the model's own. */
  readonly height?: number | undefined;
  readonly width?: number | undefined;
  readonly numInferenceSteps?: number | undefined;
  /** Off at 1 or less. */
  readonly guidanceScale?: number | undefined;
  readonly scheduler?: SchedulerName | undefined;
  /** 0 to 1: noise of schedulers that add as much as they are asked for. */
  readonly eta?: number | undefined;
  /** As torch.manual_seed takes it; by default 1234. */
  readonly seed?: bigint | number | undefined;
  /** torch's generator on a CPU (the default), or on a CUDA device. */
  readonly rng?: RngName | undefined;
  readonly numImagesPerPrompt?: number | undefined;
  /**
   * Image to image: the picture to begin with, as the path of a file or as what such a file holds (PNG, JPEG,
   * WebP).
   */
  readonly initImage?: string | Uint8Array | undefined;
  /** How much of it is drawn anew, above 0 to 1; by default 0.75. */
  readonly strength?: number | undefined;
  /** `pil` (the default): pictures; `latent`: latents alone. */
  readonly outputType?: OutputType | undefined;
  /** Keep every step's tensors. */
  readonly trace?: boolean | undefined;
}
