import type { RawConfig } from '../base/config-reader.js';
import type { Device } from '../engine/device.js';
import type { Graph } from '../graph/graph.js';
import type { OperationCost } from '../graph/passes/cost.js';
import type { Operation } from '../graph/value.js';
import type { LatentShape, NoiseModel } from '../models/noise-model.js';
import type { SlotTable } from '../parallel/slots.js';
import type { SharedModel } from '../parallel/strategy.js';
import type { Topology } from '../parallel/topology.js';
import { batchSize } from '../pipelines/conditioning.js';
import type { Exchange } from './exchanges.js';

/** What is drawn, as far as it decides what ranks do. */
export interface PlannedImage {
  readonly device: Device;
  readonly model: NoiseModel;
  /** Of the latents. */
  readonly rows: number;
  readonly columns: number;
  readonly textTokens: number;
  readonly images: number;
  /** scheduler_config.json, where there is one. */
  readonly scheduler?: RawConfig;
}

/** One step of one rank, or a part of one. */
export interface PlannedStep {
  readonly costs: readonly OperationCost[];
  readonly exchanges: readonly Exchange[];
}

/** What a rank runs in the steps of a picture. */
export interface RankWork {
  /** The part of an image that it computes, for people. */
  readonly share: string;
  /** Every one has all weights of the rank. */
  readonly graphs: readonly Graph[];
  /** Those that are loaded for themselves; of graphs that differ in sizes alone one stands for all. */
  readonly loaded: readonly Graph[];
  readonly slots: SlotTable;
  /** Bytes that are kept from step to step outside the slots. */
  readonly keptBytes: number;
  /** The first step that is as those after it. */
  readonly firstSteady: number;
  /** Steps after which such steps repeat. */
  readonly period: number;
  /** Step `call` of a picture. */
  step(call: number): PlannedStep;
}

/** The latents as one rank has them. */
export function plannedShape(
  { images, rows, columns, textTokens }: PlannedImage,
  topology: Topology,
): LatentShape {
  return { batch: batchSize(images, topology), rows, columns, textTokens };
}

/** What strategies want to know of it. */
export function sharedModel({ model, rows, columns }: PlannedImage): SharedModel {
  return { latent: { rows, columns }, halvings: model.halvings, blocks: model.blocks };
}

export function stepOperations(graph: Graph): readonly Operation[] {
  return graph.operations.filter(({ phase }) => phase === 'step');
}
