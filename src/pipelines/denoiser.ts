import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { Graph } from '../graph/graph.js';
import { Kernels } from '../graph/kernels.js';
import {
  halvings,
  readUNet2DConditionConfig,
  type UNet2DConditionConfig,
  UNet2DConditionModel,
  unetNames,
} from '../models/unet-2d-condition.js';
import type { Addon, Communicator, Step } from '../native/addon.js';
import { DisplacedPatch, displacedStep, RowBands } from '../parallel/displaced-patch.js';
import { DistriError } from '../runtime/errors.js';
import { Executable, floatResult } from '../runtime/executable.js';
import type { RankContext } from '../runtime/rank-context.js';
import type { RankRole, Topology } from '../runtime/topology.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import type { LoadOptions, ParallelOptions } from './request.js';

/** Where the UNet's config and weights come from. */
export type ComponentSource = Pick<Checkpoint, 'config' | 'weights'>;

/** The latents of one request, as every rank holds them. */
export interface LatentShape {
  /** Images in this rank's batch, guidance included. */
  readonly batch: number;
  readonly rows: number;
  readonly columns: number;
  readonly textTokens: number;
}

/** What the UNet is told once per image: this rank's rows of the guidance batch. */
export interface DenoiserConditioning {
  /** `[batch, tokens, features]`. */
  readonly encoderHiddenStates: Tensor<'float32'>;
  /** `[batch, features]`. */
  readonly textEmbeds: Tensor<'float32'>;
  /** `[batch, 6]`. */
  readonly timeIds: Tensor<'float32'>;
}

/** The UNet spread over the ranks: each computes its share, each gets the whole prediction. */
export class Denoiser {
  readonly config: UNet2DConditionConfig;
  readonly #parallel: ParallelOptions;
  readonly #image: Executable | undefined;
  readonly #step: Executable;
  readonly #output: string;
  readonly #communicator: Communicator | undefined;
  #conditioning: Readonly<Record<string, Tensor>> = {};
  #firstTick = 0;
  #calls = 0;

  private constructor(
    config: UNet2DConditionConfig,
    parallel: ParallelOptions,
    image: Executable | undefined,
    step: Executable,
    output: string,
    communicator: Communicator | undefined,
  ) {
    this.config = config;
    this.#parallel = parallel;
    this.#image = image;
    this.#step = step;
    this.#output = output;
    this.#communicator = communicator;
  }

  static async load(
    addon: Addon,
    checkpoint: ComponentSource,
    options: LoadOptions,
    ranks: RankContext,
    topology: Topology,
    parallel: ParallelOptions,
    shape: LatentShape,
  ): Promise<Denoiser> {
    const config = readUNet2DConditionConfig(await checkpoint.config('unet'));
    const role = topology.roles[ranks.rank] as RankRole;
    const bands = planBands(config, shape.rows, topology.patches);
    const kernels = new Kernels(new Graph());
    const strategy = new DisplacedPatch(kernels, await checkpoint.weights('unet'), {
      topology,
      role,
      syncMode: parallel.syncMode,
      bands,
    });
    const output = new UNet2DConditionModel(config, strategy, kernels).build(shape);
    const program = kernels.graph.compile();
    const communicator = topology.worldSize > 1 ? await ranks.connect(strategy.slots.bytes) : undefined;
    const executable = { threads: options.threads, weights: options.weights, rank: ranks.rank, communicator };
    const image = program.image ? await Executable.load(addon, program.image, executable) : undefined;
    const step = await Executable.load(addon, program.step, { ...executable, profile: options.profile });
    return new Denoiser(config, parallel, image, step, output.name, communicator);
  }

  get communicator(): Communicator | undefined {
    return this.#communicator;
  }

  /** Starts an image: computes what all its steps share (keys and values of the text, size conditioning). */
  async begin({ encoderHiddenStates, textEmbeds, timeIds }: DenoiserConditioning): Promise<void> {
    this.#firstTick += this.#calls;
    this.#calls = 0;
    const given = {
      [unetNames.encoderHiddenStates]: encoderHiddenStates,
      [unetNames.textEmbeds]: textEmbeds,
      [unetNames.timeIds]: timeIds,
    };
    this.#conditioning = { ...given, ...(await this.#image?.run(given)) };
  }

  /**
   * One step on this rank's batch of scaled latents `[batch, channels, rows, columns]`. Returns the prediction of all ranks,
   * `[unconditional…, conditional…]`, valid until the next call.
   */
  async predictNoise(sample: Tensor<'float32'>, timestep: number): Promise<Tensor<'float32'>> {
    const step = this.#nextStep();
    const results = await this.#step.run(
      {
        ...this.#conditioning,
        [unetNames.sample]: sample,
        [unetNames.timestep]: float32([1], Float32Array.of(timestep)),
      },
      step,
    );
    return floatResult(results, this.#output);
  }

  release(): void {
    this.#step.release();
    this.#image?.release();
    this.#communicator?.close();
  }

  #nextStep(): Step {
    const { warmupSteps, syncMode } = this.#parallel;
    return displacedStep(this.#calls++, this.#firstTick, warmupSteps, syncMode);
  }
}

/** The bands of the latent's rows, or why there can't be so many. */
export function planBands(config: UNet2DConditionConfig, rows: number, patches: number): RowBands {
  let smallest = rows;
  for (let level = 0; level < halvings(config); level++) smallest = Math.ceil(smallest / 2);
  if (patches > smallest) {
    throw new DistriError(
      'usage',
      `${patches} bands of rows are too many for this image: its smallest level has ${smallest} rows; ` +
        `at most ${smallest} ranks per image, or a higher image, would work`,
    );
  }
  return RowBands.plan(rows, halvings(config), patches);
}
