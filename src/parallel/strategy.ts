import type { WeightSource } from '../checkpoint/weights.js';
import type { Step } from '../engine/addon.js';
import type { Kernels } from '../graph/kernels/kernels.js';
import type { ParallelOptions } from '../pipelines/request.js';
import type { Layers } from './layers/layers.js';
import type { SlotTable } from './slots.js';
import type { RankRole, Topology } from './topology.js';

/** How the steps of a model are spread over the ranks. One file in this folder implements each. */
export interface Parallelism {
  /** Different graphs that steps run, nearly always one. They have the same inputs and the same graph of the image. */
  readonly variants: number;
  /** What the model is built on for one variant, called once for each in order. */
  layers(variant: number, kernels: Kernels, weights: WeightSource): Layers;
  /** The variant that step `call` of an image runs. */
  variantOf(call: number): number;
  /** What operators are told of step `call`; `firstTick` is the tick of the image's step 0. */
  step(call: number, firstTick: number): Step;
  /** The part of an image that a rank computes, for people: "latent rows 1 to 16 of 32". */
  describe(role: RankRole): string;
  /** What the graphs exchange, complete when all variants are built. */
  readonly slots: SlotTable;
}

/** What a strategy needs to know to be set up for one rank. */
export interface ParallelismContext {
  readonly topology: Topology;
  readonly role: RankRole;
  readonly options: ParallelOptions;
  /** Size of the whole latents. */
  readonly rows: number;
  readonly columns: number;
  /** How often the model halves rows and columns. */
  readonly halvings: number;
  /** Rows of latents that make a row of tokens, where the model is a transformer. */
  readonly patchSize?: number | undefined;
}

/** A step in which everything exchanged is of this step. */
export function synchronousStep(call: number, firstTick: number): Step {
  const tick = firstTick + call;
  return { call, tick, readTick: tick, publish: true };
}

/** Such as "latent rows 1 to 16 of 32", for what begins at `start` (from 0). */
export function describeRange(what: string, start: number, length: number, total: number): string {
  return length === total ? `all ${total} ${what}` : `${what} ${start + 1} to ${start + length} of ${total}`;
}
