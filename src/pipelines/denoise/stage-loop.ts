import type { RawConfig } from '../../base/config-reader.js';
import { DistriError } from '../../base/errors.js';
import type { Communicator } from '../../engine/addon.js';
import type { StrategyOptions } from '../../parallel/registry.js';
import type { StagePlan } from '../../parallel/strategies/stage-plan.js';
import type { StageStrategy } from '../../parallel/strategy.js';
import type { RankRole, Topology } from '../../parallel/topology.js';
import type { ProgressListener } from '../../ranks/progress.js';
import type { Tensor } from '../../tensor/tensor.js';
import { batchSize } from '../conditioning.js';
import type { GenerationRequest } from '../request.js';
import type { LatentLoop, LoopOptions } from './loop.js';
import { plannedScheduler } from './planned-scheduler.js';
import type { Recorder } from './recorder.js';
import { StageDenoiser } from './stage-denoiser.js';
import { StageImage } from './stage-image.js';
import type { StageModel } from './stage-schedule.js';

/**
 * Noise to latents by PipeFusion (arXiv 2405.14430): each rank has the layers of one stage, and bands of the
 * picture go through the stages one after another. The last stage has the schedulers, one per band, and hands
 * the latents of a band back to the first.
 */
export class StageLoop implements LatentLoop {
  readonly #stage: StageModel;
  readonly #options: LoopOptions;
  readonly #denoiser: StageDenoiser;
  /** Of the images before. */
  #steps = 0;
  #passes = 0;

  private constructor(stage: StageModel, options: LoopOptions, denoiser: StageDenoiser) {
    this.#stage = stage;
    this.#options = options;
    this.#denoiser = denoiser;
  }

  /**
   * Loads this rank's layers for requests of this one's number of images and guidance. Waits for the other
   * ranks.
   */
  static async load(strategy: StageStrategy<StrategyOptions>, options: LoopOptions): Promise<StageLoop> {
    const { ranks, topology, parallel, latent, textTokens, images, model, device } = options;
    const { blocks } = model;
    const plan = strategy.plan({ topology, options: parallel, model: { latent, ...model } });
    if (!blocks) throw new Error('stages need a model that is a row of blocks');
    const stage = {
      model: { ...model, blocks },
      plan,
      topology,
      role: topology.roles[ranks.rank] as RankRole,
      shape: { batch: batchSize(images, topology), ...latent, textTokens },
      elementType: device.elementType,
    };
    checkThresholding(options.scheduler, plan);
    return new StageLoop(stage, options, await StageDenoiser.load(stage, options));
  }

  get topology(): Topology {
    return this.#stage.topology;
  }

  get role(): RankRole {
    return this.#stage.role;
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
  ): Promise<Tensor<'float32'>> {
    const scheduler = plannedScheduler(request, this.#options);
    const image = new StageImage(this.#stage, this.#denoiser, {
      request,
      warmupSteps: this.#options.parallel.warmupSteps,
      scheduler,
      listener,
      record,
      before: { steps: this.#steps, passes: this.#passes },
    });
    listener.phase('denoise', 'start');
    const latents = await image.draw();
    listener.phase('denoise', 'end');
    this.#steps += scheduler.timesteps.length;
    this.#passes += image.passes;
    return latents;
  }

  release(): void {
    this.#denoiser.release();
  }
}

/** Thresholds are quantiles of a whole picture, of which a scheduler sees a band only. */
export function checkThresholding(config: RawConfig, { bands }: Pick<StagePlan, 'bands'>): void {
  if (config.thresholding !== true || bands.length === 1) return;
  throw new DistriError(
    'unsupported',
    'scheduler/scheduler_config.json: thresholding looks at whole pictures, and pipefusion steps each patch on its own; ' +
      'thresholding false, or --num_pipeline_patch 1, would work',
  );
}
