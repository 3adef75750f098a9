import { DistriError, expected } from '../../base/errors.js';
import { sum } from '../../base/numbers.js';
import { splitEvenly } from '../../base/split.js';
import type { RankRole, Topology } from '../topology.js';

/** Rows of patches of the whole picture. */
export interface PatchRows {
  readonly start: number;
  readonly rows: number;
}

/**
 * What a stage computes in one go: the whole picture or a band of it, of which each of its ranks has a part.
 */
export interface StagePart extends PatchRows {
  /** One per rank of a stage, from top to bottom. */
  readonly lanes: readonly PatchRows[];
}

/** How a model and its pictures are divided for stages. */
export interface StageOptions {
  /** Bands that go through the stages one after another; by default as many as stages. */
  readonly numPipelinePatch?: number | undefined;
  /** Layers of each stage; by default as even as they go. */
  readonly attnLayerNumForPp?: readonly number[] | undefined;
  /** Ranks of a stage, each with a part of the band; by default 1. */
  readonly sequenceDegree?: number | undefined;
}

export interface StageShape {
  readonly topology: Topology;
  readonly options: StageOptions;
  /** Blocks of the transformer. */
  readonly layers: number;
  /** Rows of patches of the picture. */
  readonly patchRows: number;
}

/** Where a rank is among those that share a picture's half of the guidance. */
export interface StagePlace {
  readonly stage: number;
  /** Its place among the ranks of its stage. */
  readonly lane: number;
}

/**
 * Who computes what in a pipeline: stages of consecutive layers, bands of rows that go through them, and
 * ranks of a stage that share each band. As PipeFusion (arXiv 2405.14430) and the public project xDiT have
 * it; ranks of a stage follow each other.
 */
export class StagePlan {
  readonly stages: number;
  /** Ranks of each stage. */
  readonly lanes: number;
  /** First layer of each stage and, last, the number of layers. */
  readonly cuts: readonly number[];
  readonly whole: StagePart;
  /** From top to bottom; a single one is the whole. */
  readonly bands: readonly StagePart[];

  private constructor(plan: Pick<StagePlan, 'stages' | 'lanes' | 'cuts' | 'whole' | 'bands'>) {
    this.stages = plan.stages;
    this.lanes = plan.lanes;
    this.cuts = plan.cuts;
    this.whole = plan.whole;
    this.bands = plan.bands;
  }

  /** Refuses what the number of ranks, layers or rows does not allow. */
  static make({ topology, options, layers, patchRows }: StageShape): StagePlan {
    const ranks = topology.patches;
    const lanes = options.sequenceDegree ?? 1;
    if (ranks % lanes !== 0) {
      throw expected(`a divisor of the ${ranks} ranks of a pipeline`, 'the ranks of a stage', lanes);
    }
    if (lanes > patchRows) {
      throw new DistriError(
        'usage',
        `the picture has ${patchRows} rows of patches, too few for ${lanes} ranks per stage; at most ${patchRows} would work`,
      );
    }
    const stages = ranks / lanes;
    const whole = partOf(0, patchRows, lanes);
    const bands = cutBands(patchRows, options.numPipelinePatch ?? stages, lanes);
    return new StagePlan({
      stages,
      lanes,
      cuts: cutLayers(layers, stages, options.attnLayerNumForPp),
      whole,
      bands: bands.length === 1 ? [whole] : bands,
    });
  }

  place({ patch }: RankRole): StagePlace {
    return { stage: Math.floor(patch / this.lanes), lane: patch % this.lanes };
  }

  /** The rank at a place of the pipeline that `role` belongs to. */
  rankAt({ patchGroup }: RankRole, { stage, lane }: StagePlace): number {
    return patchGroup[stage * this.lanes + lane] as number;
  }

  /** The ranks of the stage of `role`, by lane. */
  ranksOfStage(role: RankRole): number[] {
    const { stage } = this.place(role);
    return Array.from({ length: this.lanes }, (_, lane) => this.rankAt(role, { stage, lane }));
  }

  layersOf(stage: number): number {
    return (this.cuts[stage + 1] as number) - (this.cuts[stage] as number);
  }

  /** What a stage computes in different steps: the whole and, where they are not the same, the bands. */
  get parts(): readonly StagePart[] {
    return this.bands.length === 1 ? this.bands : [this.whole, ...this.bands];
  }

  /** What is computed one after the other in step `step` of a picture. */
  partsOf(step: number, warmupSteps: number): readonly StagePart[] {
    return step < warmupSteps ? [this.whole] : this.bands;
  }
}

function cutLayers(layers: number, stages: number, given: readonly number[] | undefined): readonly number[] {
  if (given === undefined) {
    if (stages > layers) {
      throw new DistriError(
        'usage',
        `${stages} stages are too many for ${layers} layers; at most ${layers} would work`,
      );
    }
    return splitEvenly(layers, stages);
  }
  const total = sum(given);
  if (given.length !== stages || total !== layers || given.some((count) => count < 1)) {
    throw expected(
      `${stages} numbers of layers above 0 with the sum ${layers}`,
      '--attn_layer_num_for_pp',
      given.join(' '),
    );
  }
  const cuts = [0];
  for (const count of given) cuts.push((cuts.at(-1) as number) + count);
  return cuts;
}

/**
 * As xDiT: all bands have the same height, a multiple of `lanes` rows of patches, and the last one takes what
 * is left.
 */
function cutBands(patchRows: number, patches: number, lanes: number): StagePart[] {
  if (patches > patchRows) {
    throw new DistriError(
      'usage',
      `${patches} pipeline patches are too many for ${patchRows} rows of patches; at most ${patchRows} would work`,
    );
  }
  const height = Math.ceil(patchRows / patches / lanes) * lanes;
  const count = Math.ceil(patchRows / height);
  const last = patchRows - (count - 1) * height;
  if (last < lanes) {
    throw new DistriError(
      'usage',
      `the last of ${count} pipeline patches has ${last} of ${patchRows} rows of patches, too few for ${lanes} ranks per stage; ` +
        `another --num_pipeline_patch would work`,
    );
  }
  return Array.from({ length: count }, (_, band) =>
    partOf(band * height, band === count - 1 ? last : height, lanes),
  );
}

function partOf(start: number, rows: number, lanes: number): StagePart {
  const cuts = splitEvenly(rows, lanes);
  const parts = Array.from({ length: lanes }, (_, lane) => ({
    start: start + (cuts[lane] as number),
    rows: (cuts[lane + 1] as number) - (cuts[lane] as number),
  }));
  return { start, rows, lanes: parts };
}
