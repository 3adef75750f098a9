import type { WeightSource } from '../../checkpoint/weights.js';
import type { Communicator } from '../../engine/addon.js';
import type { Device } from '../../engine/device.js';
import { type Executable, floatResult } from '../../engine/executable.js';
import { Graph } from '../../graph/graph.js';
import type { LatentShape, NoiseModel } from '../../models/noise-model.js';
import type { StrategyOptions } from '../../parallel/registry.js';
import type { LayerStrategy, Parallelism } from '../../parallel/strategy.js';
import type { RankRole } from '../../parallel/topology.js';
import { float32, type Tensor } from '../../tensor/tensor.js';
import { batchSize } from '../conditioning.js';
import { executableOptions } from '../load-options.js';
import { Unfinished } from '../part-cache.js';
import type { LoopOptions } from './loop.js';

/** One of the graphs that steps run. */
interface StepGraph {
  readonly executable: Executable;
  readonly output: string;
}

/** A noise model spread over the ranks: each computes its share, each gets the whole prediction. */
export class StepDenoiser {
  readonly #model: NoiseModel;
  readonly #parallelism: Parallelism;
  readonly #image: Executable | undefined;
  readonly #steps: readonly StepGraph[];
  readonly communicator: Communicator | undefined;
  #conditioning: Readonly<Record<string, Tensor>> = {};
  #firstTick = 0;
  #calls = 0;

  private constructor(
    model: NoiseModel,
    parallelism: Parallelism,
    image: Executable | undefined,
    steps: readonly StepGraph[],
    communicator: Communicator | undefined,
  ) {
    this.#model = model;
    this.#parallelism = parallelism;
    this.#image = image;
    this.#steps = steps;
    this.communicator = communicator;
  }

  /** Builds this rank's graphs, meets the other ranks and loads the graphs. */
  static load(strategy: LayerStrategy<StrategyOptions>, options: LoopOptions): Promise<StepDenoiser> {
    const { device, model, weights, load, ranks, topology, parallel, latent, textTokens, images } = options;
    const shape = { batch: batchSize(images, topology), ...latent, textTokens };
    const parallelism = strategy.create({
      topology,
      role: topology.roles[ranks.rank] as RankRole,
      options: parallel,
      model: { latent, ...model },
    });
    const graphs = buildNoiseModel(device, model, parallelism, weights, shape);
    return Unfinished.run(async (unfinished) => {
      const communicator =
        topology.worldSize > 1 ? await ranks.connect('denoiser', parallelism.slots.specs) : undefined;
      if (communicator) await unfinished.add(Promise.resolve({ release: () => communicator.close() }));
      const executable = { ...executableOptions(load, ranks), communicator };
      const programs = graphs.map(({ graph, output }) => ({ program: graph.program(), output }));
      const imagePart = programs[0]?.program.image;
      const image = imagePart && (await unfinished.add(device.load(imagePart, executable)));
      const steps: StepGraph[] = [];
      for (const { program, output } of programs) {
        const loaded = await unfinished.add(
          device.load(program.step, { ...executable, profile: load.profile }),
        );
        steps.push({ executable: loaded, output });
      }
      return new StepDenoiser(model, parallelism, image, steps, communicator);
    });
  }

  /**
   * Starts an image: computes what all its steps share (keys and values of the text, size conditioning).
   * `given` are the model's inputs of the image by name.
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
   * One step on this rank's batch of scaled latents `[batch, channels, rows, columns]`. Returns the
   * prediction of all ranks, `[unconditional…, conditional…]`, valid until the next call.
   */
  async predictNoise(sample: Tensor<'float32'>, timestep: number): Promise<Tensor<'float32'>> {
    const call = this.#calls++;
    const { executable, output } = this.#steps[this.#parallelism.variantOf(call)] as StepGraph;
    const { inputs, timestepInput } = this.#model;
    const given = {
      ...this.#conditioning,
      [inputs.sample]: sample,
      [inputs.timestep]: float32([1], Float32Array.of(timestepInput?.(timestep) ?? timestep)),
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
  device: Pick<Device, 'kernels' | 'elementType'>,
  model: NoiseModel,
  parallelism: Pick<Parallelism, 'variants' | 'layers'>,
  weights: WeightSource,
  shape: LatentShape,
): { readonly graph: Graph; readonly output: string }[] {
  return Array.from({ length: parallelism.variants }, (_, variant) => {
    const kernels = device.kernels(new Graph(device.elementType));
    const output = model.build(parallelism.layers(variant, kernels, weights), shape);
    return { graph: kernels.graph, output: output.name };
  });
}
