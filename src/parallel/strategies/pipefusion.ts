import type { WeightSource } from '../../checkpoint/weights.js';
import { int, ints, type Value } from '../../graph/graph.js';
import type { Kernels } from '../../graph/kernels/kernels.js';
import { float32 } from '../../tensor/tensor.js';
import type { Area } from '../gather-parts.js';
import type { AttentionSpec, BlocksSpec, PatchGrid } from '../layers/layers.js';
import type { SlotTable } from '../slots.js';
import { describeRange } from '../strategy.js';
import type { RankRole, Topology } from '../topology.js';
import { SingleDevice } from './single-device.js';
import type { PatchRows, StagePart, StagePlan } from './stage-plan.js';

/** The input of all stages but the first. */
export const HIDDEN_STATES = 'hidden_states';

const bytesPerFloat = 4;

/** One rank's part in a pipeline. */
export interface StageContext {
  readonly plan: StagePlan;
  readonly role: RankRole;
  /** Columns of patches of the picture. */
  readonly patchColumns: number;
  readonly slots: KeyValueSlots;
}

/** A rank's layers, for people. */
export function describeStage(plan: StagePlan, role: RankRole): string {
  const { stage, lane } = plan.place(role);
  const total = plan.cuts.at(-1) as number;
  const layers = describeRange('layers', plan.cuts[stage] as number, plan.layersOf(stage), total);
  const share = plan.lanes === 1 ? '' : `, part ${lane + 1} of ${plan.lanes} of each patch`;
  return `stage ${stage + 1} of ${plan.stages}, ${layers}${share}`;
}

/**
 * Slots in which the ranks of a stage leave keys and values for each other, one per layer of a stage and height of a part. The first layers of all
 * stages have the same slots.
 */
export class KeyValueSlots {
  readonly #heights: readonly StagePart[];
  readonly #first: readonly number[];

  /** `floats`: of keys and values of one row of patches, guidance included. */
  constructor(table: SlotTable, plan: StagePlan, topology: Topology, floats: number) {
    const heights = new Map(plan.parts.map((part) => [part.rows, part]));
    this.#heights = plan.lanes === 1 ? [] : [...heights.values()];
    const longest = Math.max(...plan.cuts.slice(1).map((_, stage) => plan.layersOf(stage)));
    this.#first = Array.from({ length: longest }, (_, layer) => {
      const slots = this.#heights.map((part) =>
        table.add(`layer ${layer} of a stage`, (rank) => {
          const { stage, lane } = plan.place(topology.roles[rank] as RankRole);
          return layer < plan.layersOf(stage)
            ? bytesPerFloat * floats * (part.lanes[lane] as PatchRows).rows
            : 0;
        }),
      );
      return slots[0] ?? 0;
    });
  }

  /** The slot of a stage's layer for the first height; those for the others follow. */
  first(layer: number): number {
    return this.#first[layer] as number;
  }

  /** The place of a part's height among the heights. */
  indexOf(part: StagePart): number {
    return Math.max(
      0,
      this.#heights.findIndex(({ rows }) => rows === part.rows),
    );
  }
}

/**
 * PipeFusion (arXiv 2405.14430): the layers of one stage on one part of the picture. Self-attention sees the keys and values of the whole picture as they
 * were last computed. Graphs of different parts differ in sizes only.
 */
export class PipeFusion extends SingleDevice {
  readonly #context: StageContext;
  readonly #part: StagePart;
  #attentions = 0;
  #place: Value | undefined;

  constructor(kernels: Kernels, weights: WeightSource, context: StageContext, part: StagePart) {
    super(kernels, weights);
    this.#context = context;
    this.#part = part;
  }

  override blocks({ batch, features, grid, embed, block, head }: BlocksSpec): Value {
    const { plan, role } = this.#context;
    const { stage } = plan.place(role);
    const { rows, columns } = this.gridArea(grid);
    let x =
      stage === 0
        ? embed()
        : this.kernels.graph.input(HIDDEN_STATES, 'float32', [batch, rows * columns, features], 'step');
    for (let index = plan.cuts[stage] as number; index < (plan.cuts[stage + 1] as number); index++) {
      x = block(x, index);
    }
    return stage === plan.stages - 1 ? head(x) : x;
  }

  override selfAttention(x: Value, name: string, spec: AttentionSpec): Value {
    const { plan, role, patchColumns, slots } = this.#context;
    const [key, value] = this.keysAndValues(x, name, spec);
    const { stage, lane } = plan.place(role);
    const peers = Array.from({ length: plan.lanes }, (_, index) => plan.rankAt(role, { stage, lane: index }));
    const attributes = {
      heads: int(spec.heads),
      tokens: int(plan.whole.rows * patchColumns),
      slot: int(slots.first(this.#attentions++)),
      peers: ints(peers),
      index: int(lane),
    };
    return this.attend(x, name, spec, (query, mixed) =>
      this.kernels.graph.node(
        {
          op: 'CachedAttention',
          domain: 'distri',
          name: mixed,
          inputs: [query, key, value, this.#tokensOfParts()],
          attributes,
        },
        query.shape,
      ),
    );
  }

  /** Cut also where the part is the whole, so that all parts have the same operations. */
  protected override ownPatches(x: Value, name: string, grid: PatchGrid): Value {
    const { row, rows } = this.gridArea(grid);
    return this.cutPatches(x, name, grid, 2, row, rows);
  }

  protected override gridArea({ columns }: PatchGrid): Area {
    const { plan, role } = this.#context;
    const { start, rows } = this.#part.lanes[plan.place(role).lane] as PatchRows;
    return { row: start, rows, column: 0, columns };
  }

  /** What CachedAttention is told of a call: which slot, and which tokens each rank of the stage brings. */
  #tokensOfParts(): Value {
    const { patchColumns, slots } = this.#context;
    const tokens = this.#part.lanes.flatMap(({ start, rows }) => [start * patchColumns, rows * patchColumns]);
    const place = [slots.indexOf(this.#part), ...tokens];
    this.#place ??= this.kernels.graph.constant(
      'pipeline_part',
      float32([place.length], Float32Array.from(place)),
    );
    return this.#place;
  }
}
