import { sum } from '../base/numbers.js';
import { WeightPlan } from '../checkpoint/random-weights.js';
import type { Device } from '../engine/device.js';
import { type HeldBytes, heldBytes } from '../engine/held-bytes.js';
import { type DescribedList, describeList } from '../engine/lowered/described.js';
import { type Graph, type GraphPart, loadedParts } from '../graph/graph.js';
import { type ComputeKind, computeKinds } from '../graph/operators.js';
import { macsByKind, operationCost } from '../graph/passes/cost.js';
import { byteLength } from '../graph/value.js';
import type { WeightsMode } from '../machine/memory.js';
import { type ParallelOptions, type StrategyOptions, strategyOf } from '../parallel/registry.js';
import type { SlotTable } from '../parallel/slots.js';
import type { LayerStrategy, Parallelism } from '../parallel/strategy.js';
import type { RankRole, Topology } from '../parallel/topology.js';
import { buildNoiseModel } from '../pipelines/denoise/step-denoiser.js';
import { exchangesOf } from './exchanges.js';
import {
  type PlannedImage,
  type PlannedStep,
  plannedShape,
  type RankWork,
  sharedModel,
  stepOperations,
} from './rank-work.js';
import { StageWork } from './stage-work.js';

/** The commands of a part of a rank's program. */
export interface PartList extends DescribedList {
  /** `image` runs once per image, `step` at every step; there are several where steps alternate. */
  readonly part: GraphPart['name'];
}

/**
 * What a rank runs, built as the rank builds it but for the weights, of which only names and shapes are
 * needed.
 */
export class RankProgram {
  private constructor(
    readonly device: Device,
    readonly role: RankRole,
    readonly work: RankWork,
  ) {}

  static build(
    image: PlannedImage,
    topology: Topology,
    role: RankRole,
    options: ParallelOptions,
  ): RankProgram {
    const strategy = strategyOf(options);
    return new RankProgram(
      image.device,
      role,
      strategy.kind === 'stages'
        ? new StageWork(strategy, image, topology, role, options)
        : new LayersWork(strategy, image, topology, role, options),
    );
  }

  /** The part of the image that it computes, for people. */
  get share(): string {
    return this.work.share;
  }

  /** Bytes of weights that it reads. */
  get weightBytes(): number {
    return sum((this.work.graphs[0]?.weights ?? []).map(byteLength));
  }

  /** Bytes that it holds for itself, what it keeps from step to step among them. */
  held(weights: WeightsMode): HeldBytes {
    const held = heldBytes(this.device, this.work.loaded, weights, this.role.rank);
    // Lists of commands name what they keep.
    return this.device.commands ? held : { ...held, kept: held.kept + this.work.keptBytes };
  }

  /** What it runs, part by part; undefined where the engine has no commands. */
  lists(): readonly PartList[] | undefined {
    const { commands } = this.device;
    return (
      commands &&
      loadedParts(this.work.loaded).flatMap((part) => {
        const { variants, weights } = commands(part, this.role.rank);
        return variants.map(({ later }) => ({ part: part.name, ...describeList(later, weights) }));
      })
    );
  }

  /** Bytes of its segment of shared memory: every slot is there for two ticks. */
  get exchangeBytes(): number {
    return 2 * this.work.slots.total(this.role.rank);
  }

  /** Multiply-accumulates of a step by kind of layer, the mean of alternating graphs. */
  get macs(): Readonly<Record<ComputeKind, number>> {
    const steps = this.steadySteps();
    const perStep = (kind: ComputeKind) =>
      sum(steps.flatMap(({ costs }) => costs.map((cost) => (cost.kind === kind ? cost.macs : 0)))) /
      steps.length;
    return Object.fromEntries(computeKinds.map((kind) => [kind, perStep(kind)])) as Record<
      ComputeKind,
      number
    >;
  }

  /**
   * Multiply-accumulates of what does not depend on the step and is computed once per image: keys and values
   * of the text.
   */
  get macsOnce(): Readonly<Record<ComputeKind, number>> {
    return macsByKind((this.work.graphs[0]?.operations ?? []).filter(({ phase }) => phase === 'image'));
  }

  /** The first step, in which everything exchanged is of the same step. */
  synchronousSteps(): readonly PlannedStep[] {
    return this.steps(0);
  }

  /** The steps after the warm-up. */
  steadySteps(): readonly PlannedStep[] {
    return this.steps(this.work.firstSteady);
  }

  private steps(first: number): PlannedStep[] {
    return Array.from({ length: this.work.period }, (_, index) => this.step(first + index));
  }

  /** Step `call` of an image. */
  step(call: number): PlannedStep {
    return this.work.step(call);
  }
}

/** The whole model on a rank's part of the picture. As Denoiser runs it. */
class LayersWork implements RankWork {
  readonly share: string;
  readonly graphs: readonly Graph[];
  readonly loaded: readonly Graph[];
  readonly slots: SlotTable;
  readonly keptBytes = 0;
  readonly firstSteady: number;
  readonly #parallelism: Parallelism;
  readonly #rank: number;

  constructor(
    strategy: LayerStrategy<StrategyOptions>,
    image: PlannedImage,
    topology: Topology,
    role: RankRole,
    options: ParallelOptions,
  ) {
    const parallelism = strategy.create({ topology, role, options, model: sharedModel(image) });
    const shape = plannedShape(image, topology);
    const built = buildNoiseModel(image.device, image.model, parallelism, new WeightPlan(), shape);
    this.share = parallelism.describe(role);
    this.graphs = built.map(({ graph }) => graph);
    this.loaded = this.graphs;
    this.slots = parallelism.slots;
    this.firstSteady = strategy.warmUp(options) ?? 1;
    this.#parallelism = parallelism;
    this.#rank = role.rank;
  }

  /** Strategies may alternate between two graphs. */
  get period(): number {
    return Math.min(2, this.graphs.length);
  }

  step(call: number): PlannedStep {
    const step = this.#parallelism.step(call, 0);
    const operations = stepOperations(this.graphs[this.#parallelism.variantOf(call)] as Graph);
    return {
      costs: operations.map(operationCost),
      exchanges: operations.flatMap((operation) => exchangesOf(operation, this.slots, this.#rank, step)),
    };
  }
}
