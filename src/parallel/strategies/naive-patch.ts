import { DistriError } from '../../base/errors.js';
import { splitRows } from '../../base/split.js';
import type { WeightSource } from '../../checkpoint/weights.js';
import type { Kernels } from '../../graph/kernels/kernels.js';
import type { Value } from '../../graph/value.js';
import { type Area, gatherParts } from '../gather-parts.js';
import type { ConvSpec } from '../layers/image.js';
import { SingleDevice } from '../layers/single-device.js';
import type { GridPositions, PatchEmbedSpec, PatchGrid } from '../layers/tokens.js';
import { gridBands } from '../plan-bands.js';
import { SlotTable } from '../slots.js';
import {
  describeRange,
  type LayerStrategy,
  plainRow,
  type StrategyContext,
  synchronousStep,
} from '../strategy.js';
import type { RankRole } from '../topology.js';

const splitSchemes = ['row', 'col', 'alternate'] as const;
/**
 * Of `--split_scheme`: into bands of rows, of columns, or of rows and columns from step to step in turns.
 * @useDeclaredType
 */
export type SplitScheme = (typeof splitSchemes)[number];

const positions = ['part', 'whole'] as const;

/** Options of `naive_patch`. */
export interface NaiveOptions {
  /** How the picture is cut; by default alternate. */
  readonly splitScheme: SplitScheme;
  /**
   * Which positions the tokens of a transformer have: `part` (the default), those of a picture of the part's
   * size; `whole`, those of the whole picture.
   */
  readonly naivePositions?: (typeof positions)[number] | undefined;
}

/** Along what the picture is cut. */
type Cut = 'row' | 'col';

type NaiveContext = StrategyContext<NaiveOptions>;

/**
 * Naive patch parallelism: each rank runs the whole model on its part as if that were a picture of its own,
 * so seams show. Parts are bands of rows, of columns, or (alternate) of rows in even steps and of columns in
 * odd ones. As in distrifuser, with parts of any size. A transformer's tokens have the positions of a picture
 * of the part's size, or where it is asked for those that they have in the whole.
 */
export const naivePatch: LayerStrategy<NaiveOptions> = {
  ...plainRow,
  kind: 'layers',
  text: 'a part each, drawn as a picture of its own: seams show',
  options: [
    {
      name: 'split_scheme',
      text: 'how the picture is cut',
      takes: { type: 'choice', values: splitSchemes },
      default: 'alternate',
      tolerated: true,
    },
    {
      name: 'naive_positions',
      text: "positions as in a picture of the part's size, or as in the whole",
      takes: { type: 'choice', values: positions },
      defaultText: 'part',
    },
  ],
  isExact: () => false,
  isRecommendable: (_options, ranksPerImage) => ranksPerImage === 1,
  describeSteps: ({ splitScheme }) => `naive patches, split by ${splitScheme}`,
  create: (context) => {
    const { splitScheme } = context.options;
    const cuts: readonly Cut[] = splitScheme === 'alternate' ? ['row', 'col'] : [splitScheme];
    const slots = new SlotTable(context.topology.worldSize);
    for (const cut of cuts) checkParts(context, cut);
    return {
      variants: cuts.length,
      layers: (variant, kernels, weights) =>
        new NaivePatch(kernels, weights, context, slots, cuts[variant] as Cut),
      variantOf: (call) => call % cuts.length,
      step: synchronousStep,
      describe: (role) => cuts.map((cut) => describePart(context, cut, role)).join(', in turn with '),
      slots,
    };
  },
};

function checkParts({ topology, model }: NaiveContext, cut: Cut): void {
  const { latent, blocks } = model;
  const length = (cut === 'row' ? latent.rows : latent.columns) / (blocks?.patchSize ?? 1);
  if (topology.patches <= length) return;
  const lines = cut === 'row' ? 'rows' : 'columns';
  const what = blocks ? `${lines} of tokens` : `latent ${lines}`;
  throw new DistriError(
    'usage',
    `${topology.patches} parts are too many for this image: it has ${length} ${what}; ` +
      `at most ${length} ranks per image would work`,
  );
}

class NaivePatch extends SingleDevice {
  readonly #context: NaiveContext;
  readonly #slots: SlotTable;
  readonly #cut: Cut;

  constructor(kernels: Kernels, weights: WeightSource, context: NaiveContext, slots: SlotTable, cut: Cut) {
    super(kernels, weights);
    this.#context = context;
    this.#slots = slots;
    this.#cut = cut;
  }

  override convIn(x: Value, name: string, spec: ConvSpec): Value {
    if (this.#context.topology.patches === 1) return super.convIn(x, name, spec);
    const { row, rows, column, columns } = areaOf(this.#context, this.#cut, this.#context.role);
    const [axis, start, length] = this.#cut === 'row' ? [2, row, rows] : [3, column, columns];
    const own = this.kernels.slice(`${name}/part`, x, axis, start, start + length);
    return super.convIn(own, name, spec);
  }

  protected override gridArea({ patchSize }: PatchGrid): Area {
    const { row, rows, column, columns } = areaOf(this.#context, this.#cut, this.#context.role);
    return {
      row: row / patchSize,
      rows: rows / patchSize,
      column: column / patchSize,
      columns: columns / patchSize,
    };
  }

  /** By default those of a picture of the part's own size. */
  protected override gridPositions(spec: PatchEmbedSpec): GridPositions {
    if (this.#context.options.naivePositions === 'whole') return super.gridPositions(spec);
    const { rows, columns } = this.gridArea(spec.grid);
    return spec.positions(rows, columns);
  }

  override placesOf(grid: PatchGrid): Area {
    const area = this.gridArea(grid);
    return this.#context.options.naivePositions === 'whole' ? area : { ...area, row: 0, column: 0 };
  }

  override gatherOutput(x: Value, name: string): Value {
    const { topology, role, model } = this.#context;
    if (topology.worldSize === 1) return x;
    return gatherParts(this.kernels, this.#slots, x, name, {
      topology,
      role,
      participantsOf: () => topology.roles,
      areaOf: (other) => areaOf(this.#context, this.#cut, other),
      size: model.latent,
    });
  }
}

/** The part of a rank when the picture is cut so. */
function areaOf({ topology, model }: NaiveContext, cut: Cut, { patch }: RankRole): Area {
  const { rows, columns } = model.latent;
  const total = cut === 'row' ? rows : columns;
  const cuts = model.blocks
    ? gridBands(total, model.blocks.patchSize, topology.patches).cuts
    : splitRows(total, topology.patches);
  const start = cuts[patch] as number;
  const length = (cuts[patch + 1] as number) - start;
  return cut === 'row'
    ? { row: start, rows: length, column: 0, columns }
    : { row: 0, rows, column: start, columns: length };
}

function describePart(context: NaiveContext, cut: Cut, role: RankRole): string {
  const { row, rows, column, columns } = areaOf(context, cut, role);
  const { latent } = context.model;
  return cut === 'row'
    ? describeRange('latent rows', row, rows, latent.rows)
    : describeRange('latent columns', column, columns, latent.columns);
}
