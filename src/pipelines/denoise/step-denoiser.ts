import type { WeightSource } from '../../checkpoint/weights.js';
import type { Addon, Communicator } from '../../engine/addon.js';
import { Executable, floatResult } from '../../engine/onnxruntime/executable.js';
import { Graph } from '../../graph/graph.js';
import { Kernels } from '../../graph/kernels/kernels.js';
import {
  type ComponentSource,
  type LatentShape,
  type NoiseModel,
  readNoiseModel,
} from '../../models/noise-model.js';
import { unetNames } from '../../models/unet-2d-condition.js';
import { createParallelism } from '../../parallel/registry.js';
import type { SlotTable } from '../../parallel/slots.js';
import type { Parallelism } from '../../parallel/strategy.js';
import type { RankRole, Topology } from '../../parallel/topology.js';
import { readByAll } from '../../ranks/channels.js';
import type { RankContext } from '../../ranks/rank-context.js';
import { float32, type Tensor } from '../../tensor/tensor.js';
import type { LoadOptions, ParallelOptions } from '../request.js';

/** What the UNet is told once per image: this rank's rows of the guidance batch. */
export interface DenoiserConditioning {
  /** `[batch, tokens, features]`. */
  readonly encoderHiddenStates: Tensor<'float32'>;
  /** `[batch, features]`; SDXL only, as the next. */
  readonly textEmbeds?: Tensor<'float32'> | undefined;
  /** `[batch, 6]`. */
  readonly timeIds?: Tensor<'float32'> | undefined;
}

/** Lets other graphs that use the same communicator reserve their slots, before the ranks meet. */
export type SlotReservation = (slots: SlotTable) => Promise<void>;

/** The inputs of the image of a UNet. */
export function unetInputs({
  encoderHiddenStates,
  textEmbeds,
  timeIds,
}: DenoiserConditioning): Readonly<Record<string, Tensor>> {
  return {
    [unetNames.encoderHiddenStates]: encoderHiddenStates,
    ...(textEmbeds && { [unetNames.textEmbeds]: textEmbeds }),
    ...(timeIds && { [unetNames.timeIds]: timeIds }),
  };
}

/** One of the graphs that steps run. */
interface StepGraph {
  readonly executable: Executable;
  readonly output: string;
}

/** A noise model spread over the ranks: each computes its share, each gets the whole prediction. */
export class Denoiser {
  readonly model: NoiseModel;
  /** Of the whole model. */
  readonly weightBytes: number;
  readonly communicator: Communicator | undefined;
  readonly #parallelism: Parallelism;
  readonly #image: Executable | undefined;
  readonly #steps: readonly StepGraph[];
  #conditioning: Readonly<Record<string, Tensor>> = {};
  #firstTick = 0;
  #calls = 0;

  private constructor(
    model: NoiseModel,
    weightBytes: number,
    parallelism: Parallelism,
    image: Executable | undefined,
    steps: readonly StepGraph[],
    communicator: Communicator | undefined,
  ) {
    this.model = model;
    this.weightBytes = weightBytes;
    this.#parallelism = parallelism;
    this.#image = image;
    this.#steps = steps;
    this.communicator = communicator;
  }

  /** Builds this rank's graphs, meets the other ranks and loads the graphs. */
  static async load(
    addon: Addon,
    source: ComponentSource,
    options: LoadOptions,
    ranks: RankContext,
    topology: Topology,
    parallel: ParallelOptions,
    shape: LatentShape,
    reserve?: SlotReservation,
  ): Promise<Denoiser> {
    const model = await readNoiseModel(source);
    const { rows, columns } = shape;
    const role = topology.roles[ranks.rank] as RankRole;
    const { halvings, blocks } = model;
    const context = {
      topology,
      role,
      options: parallel,
      rows,
      columns,
      halvings,
      patchSize: blocks?.patchSize,
    };
    const parallelism = createParallelism(context);
    const weights = await source.weights(model.component);
    const graphs = buildNoiseModel(model, parallelism, weights, shape);
    await reserve?.(parallelism.slots);
    const communicator =
      topology.worldSize > 1
        ? await ranks.connect('denoiser', readByAll(parallelism.slots.bytes))
        : undefined;
    const executable = { threads: options.threads, weights: options.weights, rank: ranks.rank, communicator };
    const programs = graphs.map(({ graph, output }) => ({ program: graph.compile(), output }));
    const imageGraph = programs[0]?.program.image;
    const image = imageGraph ? await Executable.load(addon, imageGraph, executable) : undefined;
    const steps: StepGraph[] = [];
    for (const { program, output } of programs) {
      const profiled = { ...executable, profile: options.profile };
      steps.push({ executable: await Executable.load(addon, program.step, profiled), output });
    }
    return new Denoiser(model, weights.bytes, parallelism, image, steps, communicator);
  }

  /**
   * Starts an image: computes what all its steps share (keys and values of the text, size conditioning). `given` are the model's inputs
   * of the image by name.
   */
  async begin(given: Readonly<Record<string, Tensor>>): Promise<void> {
    this.#firstTick += this.#calls;
    this.#calls = 0;
    this.#conditioning = { ...given, ...(await this.#image?.run(given)) };
  }

  /** `begin` with zeros in place of all inputs, for steps whose results nobody needs. */
  async beginZeros(): Promise<void> {
    const zeros = Object.assign({}, ...this.#steps.map(({ executable }) => executable.zeroInputs()));
    await this.begin({ ...zeros, ...this.#image?.zeroInputs() });
  }

  /** How many steps in a row run different graphs. */
  get variants(): number {
    return this.#parallelism.variants;
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

/** The model's graphs on one rank and the names of their results, in the order of the strategy's variants. */
export function buildNoiseModel(
  model: NoiseModel,
  parallelism: Pick<Parallelism, 'variants' | 'layers'>,
  weights: WeightSource,
  shape: LatentShape,
): { readonly graph: Graph; readonly output: string }[] {
  return Array.from({ length: parallelism.variants }, (_, variant) => {
    const kernels = new Kernels(new Graph());
    const layers = parallelism.layers(variant, kernels, weights);
    const output = model.build(layers, kernels, shape);
    return { graph: kernels.graph, output: output.name };
  });
}
