import { DistriError } from '../../base/errors.js';
import type { GridSize } from '../../base/sizes.js';
import type { Addon, Communicator } from '../../engine/addon.js';
import type { ComponentSource } from '../../models/noise-model.js';
import { planTopology, type RankRole, type Topology } from '../../parallel/topology.js';
import type { RankContext } from '../../ranks/rank-context.js';
import { createScheduler } from '../../schedulers/registry.js';
import type { Scheduler } from '../../schedulers/scheduler.js';
import type { Generator } from '../../tensor/generator.js';
import { createGenerator } from '../../tensor/random.js';
import { float32, type Shape, type Tensor } from '../../tensor/tensor.js';
import { batchSize, type Conditioning, guidanceRows, tileRows } from '../conditioning.js';
import type { GenerationRequest, LoadOptions, ParallelOptions, ProgressListener } from '../request.js';
import { firstStep } from './first-step.js';
import { guidedNoise } from './guided-noise.js';
import { initialLatents, noisyLatents, recordSchedule, stepName } from './initial-latents.js';
import { Denoiser, type DenoiserConditioning, type SlotReservation, unetInputs } from './step-denoiser.js';

/** Keeps a tensor under this name where the request asks for a trace. */
export type Recorder = (name: string, make: () => Tensor) => void;

/** Where a loop runs and what it is made of. */
export interface LoopOptions {
  readonly addon: Addon;
  /** Of the noise model and the scheduler. */
  readonly source: ComponentSource;
  readonly load: LoadOptions;
  readonly ranks: RankContext;
  readonly parallel: ParallelOptions;
  readonly latent: GridSize;
  readonly textTokens: number;
  readonly reserve?: SlotReservation;
}

/**
 * Weights of models that are warmed up. Page faults, cold caches and code that is not compiled yet take some milliseconds of the first step: for small models as
 * much again as the step, while large ones would lose more by steps that nobody needs (docs/performance.md).
 */
const WARM_UP_BYTES = 2 ** 28;

/** What the steps of one request share. */
interface Drawing {
  readonly request: GenerationRequest;
  readonly scheduler: Scheduler;
  readonly record: Recorder;
  /** For schedulers that add some at this step. */
  noise(step: number): Float32Array;
}

/** Noise to latents on all ranks, however they share the work. */
export interface LatentLoop {
  readonly topology: Topology;
  /** This rank's. */
  readonly role: RankRole;
  readonly communicator: Communicator | undefined;
  /** Tells the model what all steps of a request share: its inputs by name, of this rank's rows of the batch. */
  begin(given: Readonly<Record<string, Tensor>>): Promise<void>;
  /** All steps of the request that was begun, which are its phase `denoise`; returns its latents `[images, channels, rows, columns]`. */
  run(request: GenerationRequest, listener: ProgressListener, record: Recorder): Promise<Tensor<'float32'>>;
  release(): void;
}

/**
 * Noise to latents: the UNet on all ranks, and the scheduler, which every rank steps on the whole latents. As the denoising
 * loop of diffusers' StableDiffusionXLPipeline.
 */
export class DenoisingLoop implements LatentLoop {
  readonly topology: Topology;
  readonly #options: LoopOptions;
  readonly #denoiser: Denoiser;

  private constructor(topology: Topology, options: LoopOptions, denoiser: Denoiser) {
    this.topology = topology;
    this.#options = options;
    this.#denoiser = denoiser;
  }

  /** Loads the UNet for requests of this one's number of images and guidance, and warms small ones up. Waits for the other ranks. */
  static async load(request: GenerationRequest, options: LoopOptions): Promise<DenoisingLoop> {
    const { addon, source, load, ranks, parallel, latent, textTokens, reserve } = options;
    const topology = planTopology({
      worldSize: ranks.worldSize,
      guided: request.guidanceScale > 1,
      splitBatch: parallel.splitBatch,
    });
    const shape = { batch: batchSize(imageCount(request), topology), ...latent, textTokens };
    const denoiser = await Denoiser.load(addon, source, load, ranks, topology, parallel, shape, reserve);
    const loop = new DenoisingLoop(topology, options, denoiser);
    if (denoiser.weightBytes <= WARM_UP_BYTES) await loop.#warmUp(request);
    return loop;
  }

  /**
   * Steps on zeros, on all ranks together: so no step of an image is the first to touch memory, weights and code. Two per graph, as only the second
   * uses the memory that ONNX Runtime plans after the first. For what ranks exchange they are an image like any other, after whose ticks the next
   * begins.
   */
  async #warmUp(request: GenerationRequest): Promise<void> {
    const scheduler = await this.#scheduler(request);
    const latents = float32(this.#latentShape(request));
    const noise = () => new Float32Array(latents.data.length);
    const drawing = { request, scheduler, record: () => {}, noise };
    await this.#denoiser.beginZeros();
    const timesteps = scheduler.timesteps.slice(firstStep(request));
    for (const [step, timestep] of timesteps.slice(0, 2 * this.#denoiser.variants).entries()) {
      await this.#step(drawing, latents, timestep, step);
    }
  }

  get communicator(): Communicator | undefined {
    return this.#denoiser.communicator;
  }

  begin(given: Readonly<Record<string, Tensor>>): Promise<void> {
    return this.#denoiser.begin(given);
  }

  /** `begin` with a UNet's inputs. */
  async beginUNet(request: GenerationRequest, conditioning: Conditioning, record: Recorder): Promise<void> {
    const { positive, negative } = conditioning;
    const encoderHiddenStates = guidanceRows(positive.embeds, negative?.embeds, this.role);
    const pooled = positive.pooled && guidanceRows(positive.pooled, negative?.pooled, this.role);
    const added = pooled && this.#addedConditions(pooled, request, record);
    await this.begin(unetInputs({ encoderHiddenStates, ...added }));
  }

  #addedConditions(
    textEmbeds: Tensor<'float32'>,
    request: GenerationRequest,
    record: Recorder,
  ): Pick<DenoiserConditioning, 'textEmbeds' | 'timeIds'> {
    const { height, width } = request;
    const sizes = float32([1, 6], Float32Array.of(height, width, 0, 0, height, width));
    record('add_time_ids', () => tileRows(sizes, imageCount(request) * (this.topology.guided ? 2 : 1)));
    return { textEmbeds, timeIds: tileRows(sizes, batchSize(imageCount(request), this.topology)) };
  }

  /** All steps of the request that was begun, from noise or from the latents `[1, …]` of `encodeImage`; returns its latents `[images, channels, rows, columns]`. */
  async run(
    request: GenerationRequest,
    listener: ProgressListener,
    record: Recorder,
    encodeImage?: (generator: Generator) => Promise<Tensor<'float32'>>,
  ): Promise<Tensor<'float32'>> {
    const scheduler = await this.#scheduler(request);
    const generator = createGenerator(request.rng, request.seed);
    recordSchedule(scheduler, record);
    const timesteps = scheduler.timesteps.slice(firstStep(request));
    const original = await encodeImage?.(generator);
    let latents = original
      ? noisyLatents(
          tileRows(original, imageCount(request)),
          scheduler,
          timesteps[0] as number,
          generator,
          record,
        )
      : initialLatents(this.#latentShape(request), scheduler, generator, record);
    const noise = (step: number) => {
      const drawn = generator.randn(latents.shape);
      record(stepName('step_noise', step), () => drawn);
      return drawn.data;
    };
    const drawing = { request, scheduler, record, noise };
    listener.phase('denoise', 'start');
    for (const [step, timestep] of timesteps.entries()) {
      const next = await this.#step(drawing, latents, timestep, step);
      requireFinite(next, step, this.#options.ranks.rank);
      latents = float32(latents.shape, next);
      record(stepName('latents', step), () => float32(latents.shape, next.slice()));
      listener.step(step, timesteps.length);
    }
    listener.phase('denoise', 'end');
    return latents;
  }

  release(): void {
    this.#denoiser.release();
  }

  get role(): RankRole {
    return this.topology.roles[this.#options.ranks.rank] as RankRole;
  }

  /** Set to the request's timesteps. */
  async #scheduler(request: GenerationRequest): Promise<Scheduler> {
    const scheduler = createScheduler(request.scheduler, await this.#options.source.config('scheduler'));
    scheduler.setTimesteps(request.numInferenceSteps);
    return scheduler;
  }

  #latentShape(request: GenerationRequest): Shape {
    const { rows, columns } = this.#options.latent;
    return [imageCount(request), this.#denoiser.model.inChannels, rows, columns];
  }

  /** The latents after one step. */
  async #step(
    drawing: Drawing,
    latents: Tensor<'float32'>,
    timestep: number,
    step: number,
  ): Promise<Float32Array> {
    const guided = await this.#predict(drawing, latents, timestep, step);
    const { request, scheduler, noise } = drawing;
    return scheduler.step(guided, timestep, latents.data, {
      eta: request.eta,
      noise: () => noise(step),
      batch: imageCount(request),
    });
  }

  /** The guided noise prediction of one step. */
  async #predict(
    { request, scheduler, record }: Drawing,
    latents: Tensor<'float32'>,
    timestep: number,
    step: number,
  ): Promise<Float32Array> {
    const scaled = float32(latents.shape, scheduler.scaleModelInput(latents.data, timestep));
    const copies = this.topology.guided && !this.topology.splitBatch ? 2 : 1;
    const predicted = await this.#denoiser.predictNoise(
      copies === 2 ? tileRows(scaled, 2) : scaled,
      timestep,
    );
    record(stepName('noise_pred', step), () => float32(predicted.shape, predicted.data.slice()));
    return guidedNoise(predicted, latents.shape, this.topology.guided ? request.guidanceScale : undefined);
  }
}

/** Refuses numbers that are none, which would end as a black picture. */
export function requireFinite(latents: Float32Array, step: number, rank: number): void {
  if (latents.every(Number.isFinite)) return;
  throw new DistriError(
    'rank',
    `the latents are not finite after step ${step} on rank ${rank}; another --sync_mode or more --warmup_steps may help`,
  );
}

export function imageCount(request: GenerationRequest): number {
  return request.prompt.length * request.numImagesPerPrompt;
}
