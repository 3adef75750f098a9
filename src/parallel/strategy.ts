import type { OptionSpec } from '../base/option-spec.js';
import type { GridSize } from '../base/sizes.js';
import type { WeightSource } from '../checkpoint/weights.js';
import type { Step } from '../engine/addon.js';
import type { Kernels } from '../graph/kernels/kernels.js';
import type { Layers } from './layers/layers.js';
import type { SlotTable } from './slots.js';
import type { StagePlan } from './strategies/stage-plan.js';
import type { RankRole, Topology } from './topology.js';

/** A model that is a row of blocks of one width on patches of the picture. */
export interface BlockStructure {
  readonly layers: number;
  /** Of a token. */
  readonly features: number;
  /** Rows and columns of latents in a patch. */
  readonly patchSize: number;
  /** Of the prediction. */
  readonly outChannels: number;
  /** Whether the tokens of the text go through the blocks as well. */
  readonly joint?: boolean;
}

/** What of a model and its latents decides how ranks can share it. */
export interface SharedModel {
  /** Size of the whole latents. */
  readonly latent: GridSize;
  /** How often the model halves rows and columns. */
  readonly halvings: number;
  /** Of transformers. */
  readonly blocks?: BlockStructure | undefined;
}

/** What a strategy needs to know to be set up for one rank. */
export interface StrategyContext<Options> {
  readonly topology: Topology;
  readonly role: RankRole;
  readonly options: Options;
  readonly model: SharedModel;
}

/** How the steps of a model are spread over the ranks, set up for one rank. */
export interface Parallelism {
  /**
   * Different graphs that steps run, nearly always one. They have the same inputs and the same graph of the
   * image.
   */
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

/**
 * All that is known of a way to share a picture but how it does it: from here options, texts, plans and tests
 * are read.
 */
interface StrategyRow<Options> {
  /** What a rank has, for lists. */
  readonly text: string;
  /** What it needs of a model: a row of blocks on tokens, which only transformers are, or nothing. */
  readonly needs: 'blocks' | 'nothing';
  /** Whether it can share blocks that the tokens of a text go through as well. */
  readonly joint: boolean;
  readonly options: readonly OptionSpec[];
  /** Whether ranks that share an image draw the picture of one rank, but for rounding. */
  isExact(options: Options): boolean;
  /**
   * Whether a plan may recommend it to so many ranks per image: seams are not wanted, and one stage is no
   * pipeline.
   */
  isRecommendable(options: Options, ranksPerImage: number): boolean;
  /** Synchronous steps before those that may be stale; undefined where none is. */
  warmUp(options: Options): number | undefined;
  /** How steps are shared by several ranks per image: "patches, full_sync, all steps synchronous". */
  describeSteps(options: Options, topology: Topology, steps: number): string;
  /** The ways to set it up for so many ranks per image that a plan compares. */
  ways(options: Options, ranksPerImage: number): readonly Partial<Options>[];
  /** What tells these ways apart: "ulysses 2 x ring 4"; empty where there is one. */
  describeWay(options: Options, ranksPerImage: number): string;
  /**
   * How folders of its pictures are called, where a public script has a name for them; otherwise by its own
   * name and options.
   */
  folderName?(options: Options): string;
}

/** A strategy whose ranks run all layers in every step, each on its share. */
export interface LayerStrategy<Options> extends StrategyRow<Options> {
  readonly kind: 'layers';
  /** Refuses what the picture's size or the model does not allow. */
  create(context: StrategyContext<Options>): Parallelism;
}

/** A strategy whose ranks run the layers of one stage, on one part of the picture after another. */
export interface StageStrategy<Options> extends StrategyRow<Options> {
  readonly kind: 'stages';
  /** Refuses what the number of ranks, layers or rows does not allow. */
  plan(context: Omit<StrategyContext<Options>, 'role'>): StagePlan;
  describe(plan: StagePlan, role: RankRole): string;
}

/** What most strategies say: exact, nothing stale, one way. */
export const plainRow = {
  needs: 'nothing',
  joint: true,
  options: [],
  isExact: () => true,
  isRecommendable: () => true,
  warmUp: () => undefined,
  ways: () => [{}],
  describeWay: () => '',
} as const;

/** A step in which everything exchanged is of this step. */
export function synchronousStep(call: number, firstTick: number): Step {
  const tick = firstTick + call;
  return { call, tick, readTick: tick, publish: true };
}

/** Such as "latent rows 1 to 16 of 32", for what begins at `start` (from 0). */
export function describeRange(what: string, start: number, length: number, total: number): string {
  return length === total ? `all ${total} ${what}` : `${what} ${start + 1} to ${start + length} of ${total}`;
}

/** The degrees from many to one whose product with another whole number is `ranks`. */
export function divisors(ranks: number): number[] {
  return Array.from({ length: ranks }, (_, index) => ranks - index).filter((degree) => ranks % degree === 0);
}
