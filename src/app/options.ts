import type { DtypeName, EngineName } from '../engine/device.js';
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
  /**
   * Of weights and activations. By default (`auto`) bf16 where the CPU multiplies it as it is (AVX512_BF16,
   * AMX), else fp32.
   */
  readonly dtype?: DtypeName | 'auto' | undefined;
  /** What computes; by default (`auto`) what is faster in that type, see docs/engines.md. */
  readonly engine?: EngineName | 'auto' | undefined;
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
  /** FLUX.1: what T5 reads in place of the prompt; one for all prompts, or one for each. */
  readonly prompt2?: readonly string[] | undefined;
  /** FLUX.1: what T5 reads in place of the negative prompt. */
  readonly negativePrompt2?: readonly string[] | undefined;
  /** FLUX.1: tokens of T5, from 1 to 512 (the default). */
  readonly maxSequenceLength?: number | undefined;
  /** FLUX.1: strength of classifier-free guidance away from the negative prompt; off at 1, the default. */
  readonly trueCfgScale?: number | undefined;
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
  /**
   * In pixels, a multiple of what the model's family asks for (8 for SD and SDXL); by default the width, that
   * of the picture to begin with, or the model's own.
   */
  readonly height?: number | undefined;
  /**
   * In pixels, as the height; by default the height, that of the picture to begin with, or the model's own.
   */
  readonly width?: number | undefined;
  /** From 1. By default 50, with PixArt 20, with FLUX.1 28. */
  readonly numInferenceSteps?: number | undefined;
  /**
   * Off at 1 or less. By default 5 with SDXL, 7.5 with SD, 4.5 with PixArt. FLUX.1 is told it as a number, by
   * default 3.5.
   */
  readonly guidanceScale?: number | undefined;
  /**
   * Made with the checkpoint's scheduler_config.json, as diffusers' `from_config` does. By default ddim with
   * SDXL, dpm-solver with PixArt, flow_match_euler with FLUX.1, and the checkpoint's own with SD.
   */
  readonly scheduler?: SchedulerName | undefined;
  /** 0 (the default) to 1: noise of schedulers that add as much as they are asked for, as ddim does. */
  readonly eta?: number | undefined;
  /** As torch.manual_seed takes it; by default 1234. */
  readonly seed?: bigint | number | undefined;
  /** torch's generator on a CPU (the default), or on a CUDA device. */
  readonly rng?: RngName | undefined;
  /** Pictures of each prompt, all in one batch; by default 1. */
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
  /** Keep every step's tensors, which the output then has as `trace`; by default false. */
  readonly trace?: boolean | undefined;
}
