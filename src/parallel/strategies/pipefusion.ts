import type { WeightSource } from '../../checkpoint/weights.js';
import type { Kernels } from '../../graph/kernels/kernels.js';
import type { Value } from '../../graph/value.js';
import { float32 } from '../../tensor/tensor.js';
import type { Area } from '../gather-parts.js';
import { SingleDevice } from '../layers/single-device.js';
import type { AttentionSpec, BlocksSpec, PatchGrid } from '../layers/tokens.js';
import { NO_SLOT, readWhole, type SlotTable } from '../slots.js';
import { describeRange, divisors, plainRow, type StageStrategy } from '../strategy.js';
import type { RankRole, Topology } from '../topology.js';
import { type PatchRows, type StageOptions, type StagePart, StagePlan } from './stage-plan.js';

/** Options of `pipefusion`. */
export interface PipeFusionOptions extends StageOptions {
  /** As in xDiT, exactly so many steps are synchronous; by default 1. */
  readonly warmupSteps: number;
}

/** PipeFusion (arXiv 2405.14430), with the names of xDiT's options where it has them. */
export const pipefusion: StageStrategy<PipeFusionOptions> = {
  ...plainRow,
  kind: 'stages',
  text: 'some of the layers each; patches of the picture go from stage to stage (PipeFusion)',
  needs: 'blocks',
  joint: false,
  options: [
    {
      name: 'warmup_steps',
      text: 'n steps are synchronous',
      takes: { type: 'integer', least: 0 },
      default: 1,
    },
    {
      name: 'num_pipeline_patch',
      text: 'patches that follow each other through the stages',
      takes: { type: 'integer', least: 1 },
      defaultText: 'as many as stages',
    },
    {
      name: 'attn_layer_num_for_pp',
      text: 'layers of each stage',
      takes: { type: 'integers', least: 1 },
      defaultText: 'as even as they go',
    },
    {
      name: 'sequence_degree',
      text: 'ranks of each stage, which share every patch',
      takes: { type: 'integer', least: 1 },
      defaultText: '1',
    },
  ],
  isExact: ({ numPipelinePatch }) => numPipelinePatch === 1,
  isRecommendable: ({ sequenceDegree = 1 }, ranksPerImage) => ranksPerImage / sequenceDegree > 1,
  warmUp: ({ numPipelinePatch, warmupSteps }) => (numPipelinePatch === 1 ? undefined : warmupSteps),
  describeSteps: (options, { patches: ranks }, steps) => {
    const { numPipelinePatch: patches = 1, sequenceDegree: lanes = 1 } = options;
    const stages = ranks / lanes;
    const synchronous = Math.min(pipefusion.warmUp(options) ?? steps, steps);
    return [
      'pipefusion',
      `${counted(stages, 'stage')}${lanes === 1 ? '' : ` of ${lanes} ranks`}`,
      ...(patches === 1
        ? ['whole pictures']
        : [`${patches} patches`, `${counted(synchronous, 'synchronous step')}`]),
      ...(synchronous < steps ? ['then stale'] : []),
    ].join(', ');
  },
  ways: ({ numPipelinePatch }, ranks) =>
    divisors(ranks)
      .filter((stages) => stages > 1 || ranks === 1)
      .map((stages) => ({
        sequenceDegree: ranks / stages,
        numPipelinePatch: numPipelinePatch ?? stages,
      })),
  describeWay: ({ sequenceDegree: lanes = 1, numPipelinePatch }, ranks) => {
    const stages = ranks / lanes;
    const shared = lanes === 1 ? '' : ` x ${lanes} ranks`;
    return `${counted(stages, 'stage')}${shared}, ${counted(numPipelinePatch ?? stages, 'patch', 'patches')}`;
  },
  plan: ({ topology, options, model }) => {
    const { latent, blocks } = model;
    if (!blocks) throw new Error('pipefusion needs a model that is a row of blocks');
    const patchRows = latent.rows / blocks.patchSize;
    return StagePlan.make({ topology, options, layers: blocks.layers, patchRows });
  },
  describe: describeStage,
};

function counted(count: number, one: string, several = `${one}s`): string {
  return `${count} ${count === 1 ? one : several}`;
}

/** The input of all stages but the first. */
export const HIDDEN_STATES = 'hidden_states';

/** One rank's part in a pipeline. */
export interface StageContext {
  readonly plan: StagePlan;
  readonly role: RankRole;
  /** Columns of patches of the picture. */
  readonly patchColumns: number;
  readonly slots: KeyValueSlots;
}

/** A rank's layers, for people. */
function describeStage(plan: StagePlan, role: RankRole): string {
  const { stage, lane } = plan.place(role);
  const total = plan.cuts.at(-1) as number;
  const layers = describeRange('layers', plan.cuts[stage] as number, plan.layersOf(stage), total);
  const share = plan.lanes === 1 ? '' : `, part ${lane + 1} of ${plan.lanes} of each patch`;
  return `stage ${stage + 1} of ${plan.stages}, ${layers}${share}`;
}

/**
 * Slots in which the ranks of a stage leave keys and values for each other, one per layer of a stage and
 * height of a part. The first layers of all stages have the same slots.
 */
export class KeyValueSlots {
  readonly #heights: readonly StagePart[];
  readonly #first: readonly number[];

  /** `rowBytes`: of keys and values of one row of patches, guidance included. */
  constructor(table: SlotTable, plan: StagePlan, topology: Topology, rowBytes: number) {
    const heights = new Map(plan.parts.map((part) => [part.rows, part]));
    this.#heights = plan.lanes === 1 ? [] : [...heights.values()];
    const longest = Math.max(...plan.cuts.slice(1).map((_, stage) => plan.layersOf(stage)));
    const roleOf = (rank: number) => topology.roles[rank] as RankRole;
    this.#first = Array.from({ length: longest }, (_, layer) => {
      const slots = this.#heights.map((part) => {
        const bytes = (rank: number) => {
          const { stage, lane } = plan.place(roleOf(rank));
          return layer < plan.layersOf(stage) ? rowBytes * (part.lanes[lane] as PatchRows).rows : 0;
        };
        return table.add({
          name: `layer ${layer} of a stage`,
          kind: 'keys_values',
          age: 'fresh',
          bytes,
          reads: readWhole((rank) => plan.ranksOfStage(roleOf(rank)), bytes),
        });
      });
      return slots[0] ?? NO_SLOT;
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
 * PipeFusion (arXiv 2405.14430): the layers of one stage on one part of the picture. Self-attention sees the
 * keys and values of the whole picture as they were last computed. Graphs of different parts differ in sizes
 * only.
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
        : this.kernels.graph.input(
            HIDDEN_STATES,
            this.kernels.graph.elementType,
            [batch, rows * columns, features],
            'step',
          );
    for (let index = plan.cuts[stage] as number; index < (plan.cuts[stage + 1] as number); index++) {
      x = block(x, index);
    }
    return stage === plan.stages - 1 ? head(x) : x;
  }

  /** The next stage has them in the type that they were computed in, as a rank alone. */
  override output(x: Value): void {
    const { plan, role } = this.#context;
    if (plan.place(role).stage === plan.stages - 1) super.output(x);
    else this.kernels.graph.output(x, x.dtype);
  }

  override selfAttention(x: Value, name: string, spec: AttentionSpec): Value {
    const { plan, role, patchColumns, slots } = this.#context;
    const [key, value] = this.keysAndValues(x, name, spec);
    const cache = {
      heads: spec.heads,
      tokens: plan.whole.rows * patchColumns,
      slot: slots.first(this.#attentions++),
      peers: plan.ranksOfStage(role),
      index: plan.place(role).lane,
    };
    return this.attend(x, name, spec, (query, mixed) =>
      this.kernels.exchange.cachedAttention(mixed, query, key, value, this.#tokensOfParts(), cache),
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
