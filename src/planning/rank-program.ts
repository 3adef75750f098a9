import { WeightPlan } from '../checkpoint/random-weights.js';
import {
  byteLength,
  type ComputeKind,
  computeKinds,
  macsByKind,
  type OperationCost,
  operationCost,
} from '../graph/cost.js';
import type { Graph, Operation } from '../graph/graph.js';
import { peakActivationBytes } from '../graph/liveness.js';
import { createParallelism } from '../parallel/create.js';
import type { Parallelism, ParallelismContext } from '../parallel/parallelism.js';
import { batchSize } from '../pipelines/conditioning.js';
import { buildNoiseModel } from '../pipelines/denoiser.js';
import type { NoiseModel } from '../pipelines/noise-model.js';
import type { ParallelOptions } from '../pipelines/request.js';
import type { RankRole, Topology } from '../runtime/topology.js';
import { elementCount } from '../tensor/tensor.js';
import { type Exchange, exchangesOf } from './exchanges.js';

/** What is drawn, as far as it decides what ranks do. */
export interface PlannedImage {
  readonly model: NoiseModel;
  /** Of the latents. */
  readonly rows: number;
  readonly columns: number;
  readonly textTokens: number;
  readonly images: number;
}

/** One step of one rank. */
export interface PlannedStep {
  readonly costs: readonly OperationCost[];
  readonly exchanges: readonly Exchange[];
}

/** How many steps after the warm-up are looked at: strategies may alternate between two graphs. */
const STEADY_STEPS = 2;
const BYTES_PER_FLOAT = 4;

/** What a rank runs, built as the rank builds it but for the weights, of which only names and shapes are needed. */
export class RankProgram {
  private constructor(
    readonly role: RankRole,
    private readonly parallelism: Parallelism,
    private readonly options: ParallelOptions,
    private readonly graphs: readonly Graph[],
  ) {}

  static build(
    image: PlannedImage,
    topology: Topology,
    role: RankRole,
    options: ParallelOptions,
  ): RankProgram {
    const parallelism = createParallelism(parallelismContext(image, topology, role, options));
    const { rows, columns, textTokens, model } = image;
    const shape = { batch: batchSize(image.images, topology), rows, columns, textTokens };
    const built = buildNoiseModel(model, parallelism, new WeightPlan(), shape);
    return new RankProgram(
      role,
      parallelism,
      options,
      built.map(({ graph }) => graph),
    );
  }

  /** The part of the image that it computes, for people. */
  get share(): string {
    return this.parallelism.describe(this.role);
  }

  /** Bytes of weights that it reads. */
  get weightBytes(): number {
    return sum((this.graphs[0]?.weights ?? []).map(byteLength));
  }

  /** Bytes of weights that can't be used where they lie in their file. */
  get slicedWeightBytes(): number {
    return BYTES_PER_FLOAT * sum((this.graphs[0]?.slices ?? []).map(({ shape }) => elementCount(shape)));
  }

  get activationBytes(): number {
    return Math.max(...this.graphs.map(peakActivationBytes));
  }

  /** Bytes of its segment of shared memory: every slot is there for two ticks. */
  get exchangeBytes(): number {
    return 2 * this.parallelism.slots.total(this.role.rank);
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

  /** Multiply-accumulates of what does not depend on the step and is computed once per image: keys and values of the text. */
  get macsOnce(): Readonly<Record<ComputeKind, number>> {
    return macsByKind((this.graphs[0]?.operations ?? []).filter(({ phase }) => phase === 'image'));
  }

  /** The first step, in which everything exchanged is of the same step. */
  synchronousSteps(): readonly PlannedStep[] {
    return this.steps(0);
  }

  /** The steps after the warm-up. */
  steadySteps(): readonly PlannedStep[] {
    return this.steps(this.options.warmupSteps + 1);
  }

  private steps(first: number): PlannedStep[] {
    return Array.from({ length: Math.min(STEADY_STEPS, this.graphs.length) }, (_, index) =>
      this.step(first + index),
    );
  }

  /** Step `call` of an image. */
  step(call: number): PlannedStep {
    const step = this.parallelism.step(call, 0);
    const operations = stepOperations(this.graphs[this.parallelism.variantOf(call)] as Graph);
    const { bytes } = this.parallelism.slots;
    return {
      costs: operations.map(operationCost),
      exchanges: operations.flatMap((operation) => exchangesOf(operation, bytes, this.role.rank, step)),
    };
  }
}

export function parallelismContext(
  { rows, columns, model }: PlannedImage,
  topology: Topology,
  role: RankRole,
  options: ParallelOptions,
): ParallelismContext {
  const { halvings, blocks } = model;
  return { topology, role, options, rows, columns, halvings, patchSize: blocks?.patchSize };
}

function stepOperations(graph: Graph): readonly Operation[] {
  return graph.operations.filter(({ phase }) => phase === 'step');
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
