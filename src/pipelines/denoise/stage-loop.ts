import { DistriError } from '../../base/errors.js';
import type { Communicator } from '../../engine/addon.js';
import { readNoiseModel } from '../../models/noise-model.js';
import { StagePlan } from '../../parallel/strategies/stage-plan.js';
import { planTopology, type RankRole, type Topology } from '../../parallel/topology.js';
import { createScheduler } from '../../schedulers/registry.js';
import type { Tensor } from '../../tensor/tensor.js';
import { batchSize } from '../conditioning.js';
import type { GenerationRequest, ProgressListener } from '../request.js';
import { StageDenoiser, type StageModel } from './stage-denoiser.js';
import { StageImage } from './stage-image.js';
import { imageCount, type LatentLoop, type LoopOptions, type Recorder } from './step-loop.js';

/**
 * Noise to latents by PipeFusion (arXiv 2405.14430): each rank has the layers of one stage, and bands of the picture go through the stages one after
 * another. The last stage has the schedulers, one per band, and hands the latents of a band back to the first.
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

  /** Loads this rank's layers for requests of this one's number of images and guidance. Waits for the other ranks. */
  static async load(request: GenerationRequest, options: LoopOptions): Promise<StageLoop> {
    const { source, ranks, parallel, latent, textTokens } = options;
    const model = await readNoiseModel(source);
    const topology = planTopology({
      worldSize: ranks.worldSize,
      guided: request.guidanceScale > 1,
      splitBatch: parallel.splitBatch,
    });
    const { blocks } = model;
    if (!blocks) throw new DistriError('unsupported', 'pipefusion needs a model that is a row of blocks');
    const plan = StagePlan.make({
      topology,
      options: parallel.pipefusion ?? {},
      layers: blocks.layers,
      patchRows: latent.rows / blocks.patchSize,
    });
    const stage = {
      model: { ...model, blocks },
      plan,
      topology,
      role: topology.roles[ranks.rank] as RankRole,
      shape: { batch: batchSize(imageCount(request), topology), ...latent, textTokens },
    };
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
    const config = await this.#options.source.config('scheduler');
    checkThresholding(config, this.#stage.plan);
    const scheduler = createScheduler(request.scheduler, config);
    scheduler.setTimesteps(request.numInferenceSteps);
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
function checkThresholding(config: Readonly<Record<string, unknown>>, { bands }: StagePlan): void {
  if (config.thresholding !== true || bands.length === 1) return;
  throw new DistriError(
    'unsupported',
    'scheduler/scheduler_config.json: thresholding looks at whole pictures, and pipefusion steps each patch on its own; ' +
      'thresholding false, or --num_pipeline_patch 1, would work',
  );
}
