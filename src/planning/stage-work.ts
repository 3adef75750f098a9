import { sum } from '../base/numbers.js';
import { WeightPlan } from '../checkpoint/random-weights.js';
import type { WeightSource } from '../checkpoint/weights.js';
import type { Step } from '../engine/addon.js';
import type { Graph } from '../graph/graph.js';
import type { Kernels } from '../graph/kernels/kernels.js';
import { operationCost } from '../graph/passes/cost.js';
import type { BlockStructure, NoiseModel } from '../models/noise-model.js';
import { SlotTable } from '../parallel/slots.js';
import { describeStage, PipeFusion } from '../parallel/strategies/pipefusion.js';
import { type StagePart, StagePlan } from '../parallel/strategies/stage-plan.js';
import type { RankRole, Topology } from '../parallel/topology.js';
import {
  type Message,
  reserveMessages,
  type StageModel,
  stageContext,
} from '../pipelines/denoise/stage-denoiser.js';
import { buildNoiseModel } from '../pipelines/denoise/step-denoiser.js';
import type { ParallelOptions } from '../pipelines/request.js';
import { type Exchange, exchangesOf } from './exchanges.js';
import {
  type PlannedImage,
  type PlannedStep,
  plannedShape,
  type RankWork,
  stepOperations,
} from './rank-work.js';

const BYTES_PER_FLOAT = 4;

type MessageSlots = Readonly<Record<Message, number>>;
type BlockModel = NoiseModel & { readonly blocks: BlockStructure };

/** The stages, bands and ranks of a stage of a picture. Refuses what its size or the model does not allow. */
export function planStages(image: PlannedImage, topology: Topology, options: ParallelOptions): StagePlan {
  const { layers, patchSize } = blockModel(image).blocks;
  return StagePlan.make({
    topology,
    options: options.pipefusion ?? {},
    layers,
    patchRows: image.rows / patchSize,
  });
}

function blockModel({ model }: PlannedImage): BlockModel {
  const { blocks } = model;
  if (!blocks) throw new Error('a pipeline needs a model that is a row of blocks');
  return { ...model, blocks };
}

/** One rank's part in a pipeline: the layers of its stage, on one part of the picture after another. As StageImage runs them. */
export class StageWork implements RankWork {
  readonly period = 1;
  readonly share: string;
  readonly graphs: readonly Graph[];
  readonly slots: SlotTable;
  readonly firstSteady: number;
  readonly #stage: StageModel;
  readonly #warmupSteps: number;
  readonly #messages: ReadonlyMap<StagePart, MessageSlots>;
  readonly #heightOf: (part: StagePart) => number;

  constructor(image: PlannedImage, topology: Topology, role: RankRole, options: ParallelOptions) {
    const plan = planStages(image, topology, options);
    this.#stage = { model: blockModel(image), plan, topology, role, shape: plannedShape(image, topology) };
    this.#warmupSteps = options.warmupSteps;
    // The first step after the warm-up still gets the whole picture's latents.
    this.firstSteady = options.warmupSteps + 1;
    this.share = describeStage(plan, role);
    this.slots = new SlotTable(topology.worldSize);
    this.#messages = reserveMessages(this.slots, this.#stage);
    const context = stageContext(this.slots, this.#stage);
    this.#heightOf = (part) => context.slots.indexOf(part);
    const variants = {
      variants: plan.parts.length,
      layers: (variant: number, kernels: Kernels, weights: WeightSource) =>
        new PipeFusion(kernels, weights, context, plan.parts[variant] as StagePart),
    };
    const built = buildNoiseModel(image.model, variants, new WeightPlan(), this.#stage.shape);
    this.graphs = built.map(({ graph }) => graph);
  }

  /** Keys and values of the whole picture, of every layer of the stage. */
  get keptBytes(): number {
    const { plan, role, shape, model } = this.#stage;
    const tokens = (shape.rows * shape.columns) / model.blocks.patchSize ** 2;
    const perLayer = 2 * BYTES_PER_FLOAT * shape.batch * tokens * model.blocks.features;
    return plan.layersOf(plan.place(role).stage) * perLayer;
  }

  step(call: number): PlannedStep {
    const passes = this.passes(call);
    return {
      costs: passes.flatMap(({ costs }) => costs),
      exchanges: passes.flatMap(({ exchanges }) => exchanges),
    };
  }

  /** The parts of step `call`, in order, each with what it computes and exchanges. */
  passes(call: number): readonly PlannedStep[] {
    return this.#stage.plan
      .partsOf(call, this.#warmupSteps)
      .map((part, index) => this.#pass(call, part, index));
  }

  /** Where the rank is among the stages, and how many there are. */
  get place(): { readonly stage: number; readonly stages: number } {
    const { plan, role } = this.#stage;
    return { stage: plan.place(role).stage, stages: plan.stages };
  }

  #pass(call: number, part: StagePart, index: number): PlannedStep {
    const { plan, role } = this.#stage;
    const operations = stepOperations(this.graphs[plan.parts.indexOf(part)] as Graph);
    const step: Step = { call, tick: call, readTick: 0, publish: true };
    const { bytes } = this.slots;
    return {
      costs: operations.map(operationCost),
      exchanges: [
        ...operations.flatMap((operation) =>
          exchangesOf(operation, bytes, role.rank, step, this.#heightOf(part)),
        ),
        ...this.#hidden(part),
        ...this.#prediction(part),
        ...this.#latents(call, part, index),
      ],
    };
  }

  #hidden(part: StagePart): Exchange[] {
    const { plan, role } = this.#stage;
    const { stage, lane } = plan.place(role);
    const before = stage === 0 ? [] : [plan.rankAt(role, { stage: stage - 1, lane })];
    return this.#exchange('hidden_states', this.#bytes('hidden', part, role.rank), [
      ...before.map((rank) => this.#bytes('hidden', part, rank)),
    ]);
  }

  /** The last stage's ranks tell each other what they need to step the scheduler. */
  #prediction(part: StagePart): Exchange[] {
    const { plan, topology, role } = this.#stage;
    const { stage, lane } = plan.place(role);
    if (stage !== plan.stages - 1) return [];
    const others = topology.roles.filter((other) => {
      const place = plan.place(other);
      return (
        other.rank !== role.rank && place.stage === stage && (part === plan.whole || place.lane === lane)
      );
    });
    if (others.length === 0) return [];
    const theirs = others.map(({ rank }) => this.#bytes('prediction', part, rank));
    return this.#exchange('output', this.#bytes('prediction', part, role.rank), theirs);
  }

  /** From the last stage back to the first, which gets those of the step before. */
  #latents(call: number, part: StagePart, index: number): Exchange[] {
    const { plan, role } = this.#stage;
    const { stage, lane } = plan.place(role);
    if (plan.stages === 1) return [];
    if (stage > 0) return this.#exchange('latents', this.#bytes('latents', part, role.rank), []);
    const sent = part === plan.whole || call > this.#warmupSteps ? part : plan.whole;
    if (call === 0 || (sent !== part && index > 0)) return [];
    const last = plan.rankAt(role, { stage: plan.stages - 1, lane });
    return this.#exchange('latents', 0, [this.#bytes('latents', sent, last)]);
  }

  #bytes(message: Message, part: StagePart, rank: number): number {
    const slot = (this.#messages.get(part) as MessageSlots)[message];
    return (this.slots.bytes[slot] as readonly number[])[rank] as number;
  }

  /** None where there is nothing to send and nothing to read. */
  #exchange(kind: Exchange['kind'], published: number, read: readonly number[]): Exchange[] {
    if (published === 0 && read.length === 0) return [];
    return [{ kind, published, fetched: sum(read), awaited: read.length > 0 }];
  }
}
