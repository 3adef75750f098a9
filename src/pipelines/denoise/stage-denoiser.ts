import type { Communicator, Step } from '../../engine/addon.js';
import { Executable, emptyTensors, floatResult } from '../../engine/onnxruntime/executable.js';
import { compileFlexible, type FlexibleVariant } from '../../graph/passes/flexible.js';
import type { BlockStructure, LatentShape, NoiseModel } from '../../models/noise-model.js';
import { SlotTable } from '../../parallel/slots.js';
import { KeyValueSlots, PipeFusion, type StageContext } from '../../parallel/strategies/pipefusion.js';
import type { PatchRows, StagePart, StagePlan } from '../../parallel/strategies/stage-plan.js';
import type { RankRole, Topology } from '../../parallel/topology.js';
import { readByAll } from '../../ranks/channels.js';
import type { RowRange } from '../../tensor/rows.js';
import { elementCount, type Shape, type Tensor } from '../../tensor/tensor.js';
import { buildNoiseModel } from './step-denoiser.js';
import type { LoopOptions } from './step-loop.js';

const bytesPerFloat = 4;

/** What goes between ranks, each kind in slots of its own, one per part. */
export type Message = 'hidden' | 'latents' | 'prediction';

/** A noise model of blocks on one rank of a pipeline. */
export interface StageModel {
  readonly model: NoiseModel & { readonly blocks: BlockStructure };
  readonly plan: StagePlan;
  readonly topology: Topology;
  readonly role: RankRole;
  /** Of this rank's batch. */
  readonly shape: LatentShape;
}

/** One of the graphs, as steps run it. */
interface PartGraph {
  readonly variant: FlexibleVariant;
  readonly results: Readonly<Record<string, Tensor>>;
}

/** One stage's layers on one rank, and the slots through which it gets and hands on what it computes. */
export class StageDenoiser {
  readonly communicator: Communicator | undefined;
  readonly #slots: ReadonlyMap<StagePart, Readonly<Record<Message, number>>>;
  readonly #image: Executable | undefined;
  readonly #step: Executable;
  readonly #parts: ReadonlyMap<StagePart, PartGraph>;
  readonly #output: string;
  #conditioning: Readonly<Record<string, Tensor>> = {};

  private constructor(parts: {
    communicator: Communicator | undefined;
    slots: ReadonlyMap<StagePart, Readonly<Record<Message, number>>>;
    image: Executable | undefined;
    step: Executable;
    graphs: ReadonlyMap<StagePart, PartGraph>;
    output: string;
  }) {
    this.communicator = parts.communicator;
    this.#slots = parts.slots;
    this.#image = parts.image;
    this.#step = parts.step;
    this.#parts = parts.graphs;
    this.#output = parts.output;
  }

  /** Builds this rank's graphs, meets the other ranks and loads them. */
  static async load(stage: StageModel, options: LoopOptions): Promise<StageDenoiser> {
    const { addon, source, load, ranks, reserve } = options;
    const { model, plan, topology } = stage;
    const table = new SlotTable(topology.worldSize);
    const slots = reserveMessages(table, stage);
    const context = stageContext(table, stage);
    const weights = await source.weights(model.component);
    const built = buildNoiseModel(
      model,
      {
        variants: plan.parts.length,
        layers: (variant, kernels, given) =>
          new PipeFusion(kernels, given, context, plan.parts[variant] as StagePart),
      },
      weights,
      stage.shape,
    );
    await reserve?.(table);
    const communicator =
      topology.worldSize > 1 ? await ranks.connect('denoiser', readByAll(table.bytes)) : undefined;
    const { program, variants } = compileFlexible(built.map(({ graph }) => graph));
    const executable = { threads: load.threads, weights: load.weights, rank: ranks.rank, communicator };
    const image = program.image ? await Executable.load(addon, program.image, executable) : undefined;
    const step = await Executable.load(addon, program.step, { ...executable, profile: load.profile });
    const graphs = new Map(
      plan.parts.map((part, index) => {
        const variant = variants[index] as FlexibleVariant;
        return [part, { variant, results: emptyTensors(variant.results) }];
      }),
    );
    const output = built[0]?.output as string;
    return new StageDenoiser({ communicator, slots, image, step, graphs, output });
  }

  /** Starts an image: computes what all its steps share. `given` are the model's inputs of the image by name. */
  async begin(given: Readonly<Record<string, Tensor>>): Promise<void> {
    const own = this.#image ? await this.#image.run(given) : {};
    this.#conditioning = { ...given, ...own };
  }

  /** The stage's layers on a part. The result is valid until the next run on this part. */
  async run(
    part: StagePart,
    inputs: Readonly<Record<string, Tensor>>,
    step: Step,
  ): Promise<Tensor<'float32'>> {
    const { variant, results } = this.#parts.get(part) as PartGraph;
    const given = { ...this.#conditioning, ...variant.given, ...inputs };
    return floatResult(await this.#step.run(given, step, results), this.#output);
  }

  /** Leaves a message for others; waits for nobody. */
  send(message: Message, part: StagePart, tick: number, data: Float32Array): void {
    this.#communicator.publish(this.#slotOf(message, part), tick, data);
  }

  /** Waits for a message of `rank` and copies it into `data`. */
  receive(message: Message, part: StagePart, tick: number, rank: number, data: Float32Array): Promise<void> {
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

/** Rows of latents that rows of patches are. */
export function latentRows({ start, rows }: PatchRows, patchSize: number): RowRange {
  return { start: start * patchSize, rows: rows * patchSize };
}

export function stageContext(
  table: SlotTable,
  { model, plan, topology, role, shape }: StageModel,
): StageContext {
  const patchColumns = shape.columns / model.blocks.patchSize;
  const keysAndValues = 2 * shape.batch * patchColumns * model.blocks.features;
  const slots = new KeyValueSlots(table, plan, topology, keysAndValues);
  return { plan, role, patchColumns, slots };
}

/** Every rank leaves what it computes in slots of its own, one per part. So no order of messages can make ranks wait for each other. */
export function reserveMessages(
  table: SlotTable,
  { model, plan, topology, shape }: StageModel,
): ReadonlyMap<StagePart, Readonly<Record<Message, number>>> {
  const { features, patchSize, outChannels } = model.blocks;
  const images = topology.guided && !topology.splitBatch ? shape.batch / 2 : shape.batch;
  const last = plan.stages - 1;
  return new Map(
    plan.parts.map((part, index) => {
      const place = (rank: number) => plan.place(topology.roles[rank] as RankRole);
      const rowsOf = (rank: number) => (part.lanes[place(rank).lane] as PatchRows).rows;
      const reserve = (message: Message, floats: (rank: number) => number) =>
        table.add(`${message} of part ${index}`, (rank) => bytesPerFloat * floats(rank));
      const image = (count: number, channels: number, patchRows: number): number =>
        elementCount(imageShape(count, channels, patchRows * patchSize, shape.columns));
      // The whole latents are sent whole, whoever computed their rows.
      const latentPatchRows = (rank: number) => (part === plan.whole ? part.rows : rowsOf(rank));
      return [
        part,
        {
          hidden: reserve('hidden', (rank) =>
            place(rank).stage === last
              ? 0
              : shape.batch * rowsOf(rank) * (shape.columns / patchSize) * features,
          ),
          latents: reserve('latents', (rank) =>
            place(rank).stage === last && last > 0
              ? image(images, model.inChannels, latentPatchRows(rank))
              : 0,
          ),
          prediction: reserve('prediction', (rank) =>
            place(rank).stage === last && (topology.splitBatch || plan.lanes > 1)
              ? image(shape.batch, outChannels, rowsOf(rank))
              : 0,
          ),
        },
      ];
    }),
  );
}

function imageShape(count: number, channels: number, rows: number, columns: number): Shape {
  return [count, channels, rows, columns];
}
