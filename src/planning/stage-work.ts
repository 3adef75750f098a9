import { WeightPlan } from '../checkpoint/random-weights.js';
import type { Step } from '../engine/addon.js';
import type { Graph } from '../graph/graph.js';
import { operationCost } from '../graph/passes/cost.js';
import { peakActivationBytes } from '../graph/passes/liveness.js';
import type { StrategyOptions } from '../parallel/registry.js';
import type { SlotTable } from '../parallel/slots.js';
import type { StagePart } from '../parallel/strategies/stage-plan.js';
import type { StageStrategy } from '../parallel/strategy.js';
import type { RankRole, Topology } from '../parallel/topology.js';
import { type BuiltStage, buildStage } from '../pipelines/denoise/stage-denoiser.js';
import { type Message, passExchange, type StageModel } from '../pipelines/denoise/stage-schedule.js';
import { itemBytes } from '../tensor/element-type.js';
import { type Exchange, exchangesOf, slotExchanges } from './exchanges.js';
import {
  type PlannedImage,
  type PlannedStep,
  plannedShape,
  type RankWork,
  sharedModel,
  stepOperations,
} from './rank-work.js';

/**
 * One rank's part among stages: the layers of its stage, on one part of the picture after another. As
 * StageImage runs them.
 */
export class StageWork implements RankWork {
  readonly period = 1;
  readonly share: string;
  readonly graphs: readonly Graph[];
  readonly slots: SlotTable;
  readonly firstSteady: number;
  readonly #stage: StageModel;
  readonly #warmupSteps: number;
  readonly #built: BuiltStage;

  constructor(
    strategy: StageStrategy<StrategyOptions>,
    image: PlannedImage,
    topology: Topology,
    role: RankRole,
    options: StrategyOptions,
  ) {
    const { device, model } = image;
    const { blocks } = model;
    const plan = strategy.plan({ topology, options, model: sharedModel(image) });
    if (!blocks) throw new Error('stages need a model that is a row of blocks');
    this.#stage = {
      model: { ...model, blocks },
      plan,
      topology,
      role,
      shape: plannedShape(image, topology),
      elementType: device.elementType,
    };
    this.#built = buildStage(device, this.#stage, new WeightPlan());
    this.#warmupSteps = options.warmupSteps;
    // The first step after the warm-up still gets the whole picture's latents.
    this.firstSteady = options.warmupSteps + 1;
    this.share = strategy.describe(plan, role);
    this.slots = this.#built.table;
    this.graphs = this.#built.graphs;
  }

  /** A program of all parts, with room for the largest. */
  get loaded(): readonly Graph[] {
    const largest = this.graphs.toSorted((a, b) => peakActivationBytes(b) - peakActivationBytes(a))[0];
    return largest ? [largest] : [];
  }

  /** Keys and values of the whole picture, of every layer of the stage. */
  get keptBytes(): number {
    const { plan, role, shape, model, elementType } = this.#stage;
    const tokens = (shape.rows * shape.columns) / model.blocks.patchSize ** 2;
    const perLayer = 2 * itemBytes[elementType] * shape.batch * tokens * model.blocks.features;
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
    const step: Step = { call, tick: call, readTick: call, publish: true };
    const height = this.#built.heightOf(part);
    return {
      costs: operations.map(operationCost),
      exchanges: [
        ...operations.flatMap((operation) => exchangesOf(operation, this.slots, role.rank, step, height)),
        ...this.#messages(call, part, index, step),
      ],
    };
  }

  /** A step in the middle of a picture: what the last stage hands back is wanted. */
  #messages(call: number, part: StagePart, index: number, step: Step): Exchange[] {
    const when = { step: call, steps: Number.POSITIVE_INFINITY, warmupSteps: this.#warmupSteps };
    const { takes, gives, predictors } = passExchange(this.#stage, when, part, index);
    const taken = takes ? this.#exchanges(takes.message, takes.part, step).map(onlyFetched) : [];
    const given = gives.flatMap((message) => {
      const exchanges = this.#exchanges(message, part, step);
      return message === 'prediction' && predictors.length > 0 ? exchanges : exchanges.map(onlyPublished);
    });
    return [...taken, ...given].filter(({ published, fetched }) => published + fetched > 0);
  }

  #exchanges(message: Message, part: StagePart, step: Step): readonly Exchange[] {
    const slot = (this.#built.slots.get(part) as Readonly<Record<Message, number>>)[message];
    return slotExchanges(this.slots.slot(slot), this.slots.ranks, this.#stage.role.rank, step);
  }
}

function onlyFetched(exchange: Exchange): Exchange {
  return { ...exchange, published: 0 };
}

function onlyPublished(exchange: Exchange): Exchange {
  return { ...exchange, fetched: 0, awaited: false };
}
