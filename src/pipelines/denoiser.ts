import type { Checkpoint } from '../checkpoint/checkpoint.js';
import type { WeightSource } from '../checkpoint/weights.js';
import { Graph } from '../graph/graph.js';
import { Kernels } from '../graph/kernels.js';
import {
  halvings,
  readUNet2DConditionConfig,
  type UNet2DConditionConfig,
  UNet2DConditionModel,
  unetNames,
} from '../models/unet-2d-condition.js';
import type { Addon, Communicator } from '../native/addon.js';
import { createParallelism } from '../parallel/create.js';
import type { Parallelism } from '../parallel/parallelism.js';
import type { SlotTable } from '../parallel/slots.js';
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

/** Lets other graphs that use the same communicator reserve their slots, before the ranks meet. */
export type SlotReservation = (slots: SlotTable) => Promise<void>;

/** One of the graphs that steps run. */
interface StepGraph {
  readonly executable: Executable;
  readonly output: string;
}

/** The UNet spread over the ranks: each computes its share, each gets the whole prediction. */
export class Denoiser {
  readonly config: UNet2DConditionConfig;
  readonly communicator: Communicator | undefined;
  readonly #parallelism: Parallelism;
  readonly #image: Executable | undefined;
  readonly #steps: readonly StepGraph[];
  #conditioning: Readonly<Record<string, Tensor>> = {};
  #firstTick = 0;
  #calls = 0;

  private constructor(
    config: UNet2DConditionConfig,
    parallelism: Parallelism,
    image: Executable | undefined,
    steps: readonly StepGraph[],
    communicator: Communicator | undefined,
  ) {
    this.config = config;
    this.#parallelism = parallelism;
    this.#image = image;
    this.#steps = steps;
    this.communicator = communicator;
  }

  /** Builds this rank's graphs, meets the other ranks and loads the graphs. */
  static async load(
    addon: Addon,
    checkpoint: ComponentSource,
    options: LoadOptions,
    ranks: RankContext,
    topology: Topology,
    parallel: ParallelOptions,
    shape: LatentShape,
    reserve?: SlotReservation,
  ): Promise<Denoiser> {
    const config = readUNet2DConditionConfig(await checkpoint.config('unet'));
    const { rows, columns } = shape;
    const role = topology.roles[ranks.rank] as RankRole;
    const context = { topology, role, options: parallel, rows, columns, halvings: halvings(config) };
    const parallelism = createParallelism(context);
    const graphs = buildUNet(config, parallelism, await checkpoint.weights('unet'), shape);
    await reserve?.(parallelism.slots);
    const communicator = topology.worldSize > 1 ? await ranks.connect(parallelism.slots.bytes) : undefined;
    const executable = { threads: options.threads, weights: options.weights, rank: ranks.rank, communicator };
    const programs = graphs.map(({ graph, output }) => ({ program: graph.compile(), output }));
    const imageGraph = programs[0]?.program.image;
    const image = imageGraph ? await Executable.load(addon, imageGraph, executable) : undefined;
    const steps: StepGraph[] = [];
    for (const { program, output } of programs) {
      const profiled = { ...executable, profile: options.profile };
      steps.push({ executable: await Executable.load(addon, program.step, profiled), output });
    }
    return new Denoiser(config, parallelism, image, steps, communicator);
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
    const call = this.#calls++;
    const { executable, output } = this.#steps[this.#parallelism.variantOf(call)] as StepGraph;
    const given = {
      ...this.#conditioning,
      [unetNames.sample]: sample,
      [unetNames.timestep]: float32([1], Float32Array.of(timestep)),
    };
    const results = await executable.run(given, this.#parallelism.step(call, this.#firstTick));
    return floatResult(results, output);
  }

  release(): void {
    for (const { executable } of this.#steps) executable.release();
    this.#image?.release();
    this.communicator?.close();
  }
}

/** The UNet's graphs on one rank and the names of their results, in the order of the strategy's variants. */
export function buildUNet(
  config: UNet2DConditionConfig,
  parallelism: Parallelism,
  weights: WeightSource,
  shape: LatentShape,
): { readonly graph: Graph; readonly output: string }[] {
  return Array.from({ length: parallelism.variants }, (_, variant) => {
    const kernels = new Kernels(new Graph());
    const layers = parallelism.layers(variant, kernels, weights);
    const output = new UNet2DConditionModel(config, layers, kernels).build(shape);
    return { graph: kernels.graph, output: output.name };
  });
}
