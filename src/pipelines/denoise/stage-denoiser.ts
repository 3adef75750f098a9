import type { WeightSource } from '../../checkpoint/weights.js';
import type { Communicator, Step } from '../../engine/addon.js';
import type { Device } from '../../engine/device.js';
import { type Executable, resultOf } from '../../engine/executable.js';
import type { Graph } from '../../graph/graph.js';
import type { Kernels } from '../../graph/kernels/kernels.js';
import { compileFlexible } from '../../graph/passes/flexible.js';
import { SlotTable } from '../../parallel/slots.js';
import { KeyValueSlots, PipeFusion, type StageContext } from '../../parallel/strategies/pipefusion.js';
import type { StagePart } from '../../parallel/strategies/stage-plan.js';
import { itemBytes } from '../../tensor/element-type.js';
import type { Tensor } from '../../tensor/tensor.js';
import { executableOptions } from '../load-options.js';
import { Unfinished } from '../part-cache.js';
import type { LoopOptions } from './loop.js';
import { type Message, type MessageSlots, reserveMessages, type StageModel } from './stage-schedule.js';
import { buildNoiseModel } from './step-denoiser.js';

/** What messages are made of: latents and predictions, or hidden states in the run's type. */
export type Handed = Tensor<'float32' | 'bfloat16'>['data'];

/** A tensor's elements, which are known to be floats. */
export function handedOf({ dtype, data }: Tensor): Handed {
  if (data instanceof Float32Array || data instanceof Uint16Array) return data;
  throw new Error(`ranks don't hand on ${dtype}`);
}

/** One stage's layers on one rank, and the slots through which it gets and hands on what it computes. */
export class StageDenoiser {
  readonly communicator: Communicator | undefined;
  readonly #slots: MessageSlots;
  readonly #image: Executable | undefined;
  readonly #step: Executable;
  /** In the order of the step's variants. */
  readonly #parts: readonly StagePart[];
  readonly #output: string;
  #conditioning: Readonly<Record<string, Tensor>> = {};

  private constructor(parts: {
    communicator: Communicator | undefined;
    slots: MessageSlots;
    image: Executable | undefined;
    step: Executable;
    parts: readonly StagePart[];
    output: string;
  }) {
    this.communicator = parts.communicator;
    this.#slots = parts.slots;
    this.#image = parts.image;
    this.#step = parts.step;
    this.#parts = parts.parts;
    this.#output = parts.output;
  }

  /** Builds this rank's graphs, meets the other ranks and loads them. */
  static load(stage: StageModel, options: LoopOptions): Promise<StageDenoiser> {
    const { device, weights, load, ranks } = options;
    const { plan, topology } = stage;
    const built = buildStage(device, stage, weights);
    return Unfinished.run(async (unfinished) => {
      const communicator =
        topology.worldSize > 1 ? await ranks.connect('denoiser', built.table.specs) : undefined;
      if (communicator) await unfinished.add(Promise.resolve({ release: () => communicator.close() }));
      const program = compileFlexible(built.graphs);
      const executable = { ...executableOptions(load, ranks), communicator };
      const image = program.image && (await unfinished.add(device.load(program.image, executable)));
      const profiled = { ...executable, profile: load.profile };
      const step = await unfinished.add(device.load(program.step, profiled));
      const { slots, output } = built;
      return new StageDenoiser({ communicator, slots, image, step, parts: plan.parts, output });
    });
  }

  /**
   * Starts an image: computes what all its steps share. `given` are the model's inputs of the image by name.
   */
  async begin(given: Readonly<Record<string, Tensor>>): Promise<void> {
    const own = this.#image ? await this.#image.run(given) : {};
    this.#conditioning = { ...given, ...own };
  }

  /** The stage's layers on a part. The result is valid until the next run on this part. */
  async run(part: StagePart, inputs: Readonly<Record<string, Tensor>>, step: Step): Promise<Tensor> {
    const given = { ...this.#conditioning, ...inputs };
    return resultOf(await this.#step.run(given, step, this.#parts.indexOf(part)), this.#output);
  }

  /** Leaves a message for others; waits for nobody. */
  send(message: Message, part: StagePart, tick: number, data: Handed): void {
    this.#communicator.publish(this.#slotOf(message, part), tick, data);
  }

  /** Waits for a message of `rank` and copies it into `data`. */
  receive(message: Message, part: StagePart, tick: number, rank: number, data: Handed): Promise<void> {
    return this.#communicator.fetch(this.#slotOf(message, part), rank, tick, data);
  }

  release(): void {
    this.#step.release();
    this.#image?.release();
    this.communicator?.close();
  }

  get #communicator(): Communicator {
    if (!this.communicator) throw new Error('a single rank has nobody to talk to');
    return this.communicator;
  }

  #slotOf(message: Message, part: StagePart): number {
    return (this.#slots.get(part) as Readonly<Record<Message, number>>)[message];
  }
}

/** What one rank of a stage runs, built for its ranks and for those who plan them. */
export interface BuiltStage {
  readonly table: SlotTable;
  readonly slots: MessageSlots;
  /** One per part of the plan, which differ in sizes only. */
  readonly graphs: readonly Graph[];
  /** Name of the graphs' result. */
  readonly output: string;
  /** How many slots after an attention's own a part uses. */
  readonly heightOf: (part: StagePart) => number;
}

export function buildStage(
  device: Pick<Device, 'kernels' | 'elementType'>,
  stage: StageModel,
  weights: WeightSource,
): BuiltStage {
  const { model, plan, topology, role, shape, elementType } = stage;
  const table = new SlotTable(topology.worldSize);
  const slots = reserveMessages(table, stage);
  const patchColumns = shape.columns / model.blocks.patchSize;
  const rowBytes = 2 * itemBytes[elementType] * shape.batch * patchColumns * model.blocks.features;
  const keysAndValues = new KeyValueSlots(table, plan, topology, rowBytes);
  const context: StageContext = { plan, role, patchColumns, slots: keysAndValues };
  const variants = {
    variants: plan.parts.length,
    layers: (variant: number, kernels: Kernels, given: WeightSource) =>
      new PipeFusion(kernels, given, context, plan.parts[variant] as StagePart),
  };
  const built = buildNoiseModel(device, model, variants, weights, shape);
  return {
    table,
    slots,
    graphs: built.map(({ graph }) => graph),
    output: built[0]?.output as string,
    heightOf: (part) => keysAndValues.indexOf(part),
  };
}
