import type { PipelineClass } from '../checkpoint/pipeline-classes.js';
import type { CommunicatorStatistics } from '../engine/addon.js';
import type { SchedulerName } from '../schedulers/registry.js';
import type { RngName } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';

export const syncModes = [
  'corrected_async_gn',
  'separate_gn',
  'stale_gn',
  'sync_gn',
  'full_sync',
  'no_sync',
] as const;
export type SyncMode = (typeof syncModes)[number];

export const parallelismNames = ['patch', 'tensor', 'naive_patch'] as const;
/** Those of a transformer, which has tokens for `sequence` to divide and blocks for `pipefusion`. */
export const transformerParallelismNames = [...parallelismNames, 'sequence', 'pipefusion'] as const;
export type ParallelismName = (typeof transformerParallelismNames)[number];

export const splitSchemes = ['row', 'col', 'alternate'] as const;
export type SplitScheme = (typeof splitSchemes)[number];

export const naivePositionNames = ['part', 'whole'] as const;
export type NaivePositions = (typeof naivePositionNames)[number];

/** How the ranks share a picture; see docs/modes.md. */
export interface ParallelOptions {
  readonly parallelism: ParallelismName;
  readonly splitBatch: boolean;
  readonly syncMode: SyncMode;
  /**
   * Synchronous steps before the first stale one, less one: as in distrifuser, `warmupSteps + 1` steps are synchronous. With pipefusion, as in
   * xDiT, `warmupSteps` are.
   */
  readonly warmupSteps: number;
  /** How naive_patch cuts the picture. */
  readonly splitScheme: SplitScheme;
  /** How pipefusion divides layers and picture. */
  readonly pipefusion?: StageOptions | undefined;
  /** Which positions naive_patch gives the tokens of a transformer: by default those of a picture of the part's size. */
  readonly naivePositions?: NaivePositions | undefined;
  /** How sequence divides the ranks of an image. */
  readonly sequence?: SequenceOptions | undefined;
}

export interface StageOptions {
  /** Bands that go through the stages one after another; by default as many as stages. */
  readonly patches?: number | undefined;
  /** Layers of each stage; by default as even as they go. */
  readonly layers?: readonly number[] | undefined;
  /** Ranks of a stage, each with a part of the band; by default 1. */
  readonly sequence?: number | undefined;
}

/** The product is the number of ranks of an image; what is left out follows, and by default is `ringDegree` 1. */
export interface SequenceOptions {
  /** Ranks that exchange tokens for heads around attention. */
  readonly ulyssesDegree?: number | undefined;
  /** Ranks whose keys and values are attended to one after another. */
  readonly ringDegree?: number | undefined;
}

/** Image to image: what to begin with. */
export interface InitImage {
  /** An absolute path that all ranks can read. */
  readonly path: string;
  /** Above 0, at most 1: the share of the steps that are taken, and so how little is left of the picture. */
  readonly strength: number;
}

/** What to draw. Names and meanings are those of diffusers' StableDiffusionXLPipeline.__call__. */
export interface GenerationRequest {
  readonly prompt: readonly string[];
  /** Empty, or one per prompt. */
  readonly negativePrompt: readonly string[];
  readonly height: number;
  readonly width: number;
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
  readonly eta: number;
  readonly numImagesPerPrompt: number;
  readonly scheduler: SchedulerName;
  readonly seed: bigint;
  readonly rng: RngName;
  readonly initImage?: InitImage | undefined;
  readonly outputType: 'pil' | 'latent';
  /** PixArt: draw at the nearest size that the model was trained at, and resize the picture. */
  readonly useResolutionBinning?: boolean | undefined;
  /** Keep every step's tensors (see Generation.trace). */
  readonly trace: boolean;
}

/** How the ranks share the VAE's work; see docs/vae.md. */
export interface VaeSpread {
  /** Every rank has a band of rows; otherwise the first rank does it all. */
  readonly parallel: boolean;
  /** Side of tiles in pixels, for pictures that are larger; undefined for whole pictures. */
  readonly tilePixels: number | undefined;
}

/** How a checkpoint is loaded and on what. */
export interface LoadOptions {
  /** Folder in diffusers' layout. */
  readonly directory: string;
  readonly variant: string | undefined;
  readonly weights: 'shared' | 'private';
  /** Threads of this rank. */
  readonly threads: number;
  /** By default the first rank does all that the VAE does, on whole pictures. */
  readonly vae?: VaeSpread | undefined;
  /** Writes ONNX Runtime's profile of the UNet's steps to files that begin so, when the pipeline is closed. */
  readonly profile?: string | undefined;
  /** What model_index.json says; by default SDXL's. */
  readonly pipelineClass?: PipelineClass | undefined;
  /** The folder holds a UNet with random weights and nothing else, see random-model.ts. */
  readonly randomWeights?: boolean | undefined;
}

/** One rank's result. Only rank 0 has images and a trace; every rank has the same latents. */
export interface Generation {
  /** `[images, channels, height / 8, width / 8]`, before the division by the VAE's scaling factor. */
  readonly latents: Tensor<'float32'>;
  /** `[images, height, width, 3]`. */
  readonly images?: Tensor<'uint8'>;
  /** Named as in diffusers: init_noise, noise_pred_000, latents_000, … prompt_embeds, decoded. */
  readonly trace?: Readonly<Record<string, Tensor>>;
}

export type Phase = 'load' | 'encode' | 'text' | 'denoise' | 'decode';

/** How a rank reports where it is. */
export interface ProgressListener {
  phase(name: Phase, event: 'start' | 'end'): void;
  /** After denoising step `step` (from 0) of `steps`. */
  step(step: number, steps: number): void;
  /** Before a part of a step, where a step has parts: "in step 3 of 20, patch 2 of 4, stage 1 of 4". */
  place?(where: string): void;
  /** When something within a step begins, for `--timeline`; what is returned is called when it ends. */
  span?(name: string, details: Readonly<Record<string, number>>): () => void;
}

/** Models of a checkpoint, loaded on one rank for requests of one size; all ranks make the same calls. */
export interface Pipeline {
  generate(request: GenerationRequest, listener: ProgressListener): Promise<Generation>;
  /** What this rank has exchanged with its peers so far; undefined where there are none. */
  statistics(): CommunicatorStatistics | undefined;
  close(): Promise<void>;
}
