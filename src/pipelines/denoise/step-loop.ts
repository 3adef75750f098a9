import type { Communicator } from '../../engine/addon.js';
import type { StrategyOptions } from '../../parallel/registry.js';
import type { LayerStrategy } from '../../parallel/strategy.js';
import type { RankRole, Topology } from '../../parallel/topology.js';
import type { ProgressListener } from '../../ranks/progress.js';
import type { Scheduler } from '../../schedulers/scheduler.js';
import { createGenerator } from '../../tensor/random.js';
import { float32, type Shape, type Tensor } from '../../tensor/tensor.js';
import { tileRows } from '../conditioning.js';
import { type GenerationRequest, guidanceOf } from '../request.js';
import { requireFinite } from './finite.js';
import { firstStep } from './first-step.js';
import { guidedNoise } from './guided-noise.js';
import { initialLatents, noisyLatents, recordSchedule } from './initial-latents.js';
import type { ImageEncoder, LatentLoop, LoopOptions } from './loop.js';
import { plannedScheduler } from './planned-scheduler.js';
import { type Recorder, recordNoise, recordPacked, stepName } from './recorder.js';
import { StepDenoiser } from './step-denoiser.js';

/**
 * Weights and latents of what is warmed up. Page faults, cold caches and code that is not compiled yet take
 * some milliseconds of the first step: for small models and pictures as much again as the step, while larger
 * ones would lose more by steps that nobody needs (docs/performance.md).
 */
const WARM_UP = { weightBytes: 2 ** 28, latents: 128 * 128 } as const;

/** What the steps of one request share. */
interface Drawing {
  readonly request: GenerationRequest;
  readonly scheduler: Scheduler;
  readonly record: Recorder;
  /** For schedulers that add some at this step. */
  noise(step: number): Float32Array;
}

/**
 * Noise to latents: the noise model on all ranks, and the scheduler, which every rank steps on the whole
 * latents. As the denoising loop of diffusers' pipelines.
 */
export class StepLoop implements LatentLoop {
  readonly #options: LoopOptions;
  readonly #denoiser: StepDenoiser;

  private constructor(options: LoopOptions, denoiser: StepDenoiser) {
    this.#options = options;
    this.#denoiser = denoiser;
  }

  /**
   * Loads the noise model for requests of this one's number of images and guidance, and warms small ones up.
   * Waits for the other ranks.
   */
  static async load(
    strategy: LayerStrategy<StrategyOptions>,
    request: GenerationRequest,
    options: LoopOptions,
  ): Promise<StepLoop> {
    const denoiser = await StepDenoiser.load(strategy, options);
    const loop = new StepLoop(options, denoiser);
    const { weights, latent, images } = options;
    const latents = images * latent.rows * latent.columns;
    try {
      if (weights.bytes <= WARM_UP.weightBytes && latents <= WARM_UP.latents) await loop.#warmUp(request);
    } catch (error) {
      loop.release();
      throw error;
    }
    return loop;
  }

  /**
   * Steps on zeros, on all ranks together: so no step of an image is the first to touch memory, weights and
   * code. As many per graph as the device needs. For what ranks exchange they are an image like any other,
   * after whose ticks the next begins.
   */
  async #warmUp(request: GenerationRequest): Promise<void> {
    const scheduler = this.#scheduler(request);
    const latents = float32(this.#latentShape);
    const noise = () => new Float32Array(latents.data.length);
    const drawing = { request, scheduler, record: () => {}, noise };
    await this.#denoiser.beginZeros();
    const timesteps = scheduler.timesteps.slice(firstStep(request));
    const runs = this.#options.device.warmUpRuns * this.#denoiser.variants;
    for (const [step, timestep] of timesteps.slice(0, runs).entries()) {
      await this.#step(drawing, latents, timestep, step);
    }
  }

  get topology(): Topology {
    return this.#options.topology;
  }

  get role(): RankRole {
    return this.topology.roles[this.#options.ranks.rank] as RankRole;
  }

  get communicator(): Communicator | undefined {
    return this.#denoiser.communicator;
  }

  begin(given: Readonly<Record<string, Tensor>>): Promise<void> {
    return this.#denoiser.begin(given);
  }

  async run(
    request: GenerationRequest,
    listener: ProgressListener,
    record: Recorder,
    encodeImage?: ImageEncoder,
  ): Promise<Tensor<'float32'>> {
    const scheduler = this.#scheduler(request);
    const generator = createGenerator(request.rng, request.seed);
    recordSchedule(scheduler, record);
    const timesteps = scheduler.timesteps.slice(firstStep(request));
    const original = await encodeImage?.(generator);
    const recordLatents = recordPacked(record, this.#options.model);
    let latents = original
      ? noisyLatents(
          tileRows(original, this.#options.images),
          scheduler,
          timesteps[0] as number,
          generator,
          record,
          recordLatents,
        )
      : initialLatents(this.#latentShape, scheduler, generator, record, recordLatents);
    const noise = (step: number) => {
      const drawn = generator.randn(latents.shape);
      record(stepName('step_noise', step), () => drawn);
      return drawn.data;
    };
    const drawing = { request, scheduler, record, noise };
    listener.phase('denoise', 'start');
    for (const [step, timestep] of timesteps.entries()) {
      const next = await this.#step(drawing, latents, timestep, step);
      await requireFinite(next, { step, steps: timesteps.length }, this.#options);
      latents = float32(latents.shape, next);
      recordLatents(stepName('latents', step), () => float32(latents.shape, next.slice()));
      listener.step(step, timesteps.length, latents);
    }
    listener.phase('denoise', 'end');
    return latents;
  }

  release(): void {
    this.#denoiser.release();
  }

  /** Set to the request's timesteps. */
  #scheduler(request: GenerationRequest): Scheduler {
    return plannedScheduler(request, this.#options);
  }

  get #latentShape(): Shape {
    const { latent, model, images } = this.#options;
    return [images, model.inChannels, latent.rows, latent.columns];
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
      batch: this.#options.images,
    });
  }

  /** The guided noise prediction of one step. */
  async #predict(
    { request, scheduler, record }: Drawing,
    latents: Tensor<'float32'>,
    timestep: number,
    step: number,
  ): Promise<Float32Array> {
    const { guided, splitBatch } = this.topology;
    const scaled = float32(latents.shape, scheduler.scaleModelInput(latents.data, timestep));
    const predicted = await this.#denoiser.predictNoise(
      guided && !splitBatch ? tileRows(scaled, 2) : scaled,
      timestep,
    );
    recordNoise(record, this.#options.model, step, predicted, guided);
    return guidedNoise(predicted, latents.shape, guidanceOf(request));
  }
}
