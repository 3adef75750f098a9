import type { GridSize } from '../../base/sizes.js';
import type { WeightSource } from '../../checkpoint/weights.js';
import type { Device } from '../../engine/device.js';
import { type Executable, type ExecutableOptions, floatResult } from '../../engine/executable.js';
import { activationBytes } from '../../engine/held-bytes.js';
import { Graph, type GraphPart } from '../../graph/graph.js';
import type { Kernels } from '../../graph/kernels/kernels.js';
import type { Value } from '../../graph/value.js';
import type { Layers } from '../../parallel/layers/layers.js';
import type { SlotTable } from '../../parallel/slots.js';
import { type RankPlace, SynchronousPatch } from '../../parallel/strategies/synchronous-patch.js';
import { elementCount, float32, type Tensor } from '../../tensor/tensor.js';
import { cutTile, joinTiles, type TileArea, type Tiling, tileAreas } from './tiling.js';

/** Encoder or decoder: how its graph is made for an input of some size. */
export interface VaeHalfModel {
  readonly input: string;
  /** How often the input's rows are halved. */
  readonly halvings: number;
  build(layers: Layers, size: GridSize): Value;
  /** What the graph is made of; the device's kernels if left out. */
  readonly createKernels?: (graph: Graph) => Kernels;
}

/** Where half a VAE runs, see VaePlacement. */
export interface VaeHalfPlacement {
  readonly place: RankPlace;
  readonly slots: SlotTable;
  readonly tiling: Tiling | undefined;
}

/** Called when `done` of `total` tiles are computed. */
export type TileListener = (done: number, total: number) => void;

/**
 * Half a VAE for images of one size. A rank computes a band of rows, of the whole image or, with a tiling, of
 * one tile after another. All ranks make the same calls.
 */
export class VaeHalf {
  readonly #device: Device;
  readonly #model: VaeHalfModel;
  readonly #areas: readonly (readonly TileArea[])[];
  readonly #tiling: Tiling | undefined;
  readonly #first: boolean;
  /** By the size of their input. */
  readonly #graphs = new Map<string, BandGraph>();
  #load: (graph: BandGraph) => Promise<Executable> = () => Promise.reject(new Error('the VAE is not loaded'));
  #loaded: { readonly graph: BandGraph; readonly executable: Executable } | undefined;

  /** Builds the graphs and so reserves their slots. */
  constructor(
    device: Device,
    model: VaeHalfModel,
    weights: WeightSource,
    size: GridSize,
    { place, slots, tiling }: VaeHalfPlacement,
  ) {
    this.#device = device;
    this.#model = model;
    this.#first = place.rank === 0;
    const { rows, columns } = size;
    const tiled = tiling !== undefined && Math.max(rows, columns) > tiling.tile;
    this.#tiling = tiled ? tiling : undefined;
    this.#areas = tiled ? tileAreas(rows, columns, tiling) : [[{ row: 0, rows, column: 0, columns }]];
    for (const area of this.#areas.flat()) {
      const key = sizeKey(area);
      if (!this.#graphs.has(key)) {
        this.#graphs.set(key, new BandGraph(device, model, weights, area, place, slots));
      }
    }
  }

  /** Bytes of this rank's activations at the fullest moment, see `HeldBytes`. */
  get peakBytes(): number {
    return Math.max(...[...this.#graphs.values()].map(({ peakBytes }) => peakBytes));
  }

  /** Makes the graphs ready to run. A single one is loaded now, those of tiles when they are needed. */
  async load(options: ExecutableOptions): Promise<void> {
    this.#load = (graph) => this.#device.load(graph.part, { ...options, memory: 'freed' });
    const [only] = this.#graphs.values();
    if (this.#graphs.size === 1 && only?.patch.takesPart) await this.#executable(only);
  }

  /**
   * Images `[images, channels, rows, columns]`, whole on every rank, to one result each, which only the first
   * rank has. One at a time, so that memory does not grow with their number; `prepare` makes an image what
   * the graph takes.
   */
  async run(
    images: Tensor<'float32'>,
    prepare: (image: Float32Array) => Float32Array,
    onTile: TileListener = () => {},
  ): Promise<Tensor<'float32'>[]> {
    const [count, ...shape] = images.shape as [number, ...number[]];
    const length = elementCount(shape);
    const results: Tensor<'float32'>[] = [];
    for (let image = 0; image < count; image++) {
      const data = prepare(images.data.subarray(image * length, (image + 1) * length));
      const result = await this.#runOne(float32([1, ...shape], data), (done, total) =>
        onTile(image * total + done, count * total),
      );
      if (result) results.push(result);
    }
    return results;
  }

  /** `[1, channels, rows, columns]` to the result. */
  async #runOne(image: Tensor<'float32'>, onTile: TileListener): Promise<Tensor<'float32'> | undefined> {
    const areas = this.#areas.flat();
    const done = new Map<TileArea, Tensor<'float32'>>();
    let count = 0;
    // Tiles of one size follow each other, so that one graph at a time is loaded.
    for (const [size, graph] of this.#graphs) {
      for (const area of areas.filter((item) => sizeKey(item) === size)) {
        const input = areas.length === 1 ? image : cutTile(image, area);
        const result = await this.#runGraph(graph, input);
        if (this.#first && result) done.set(area, result);
        onTile(++count, areas.length);
      }
    }
    if (!this.#first) return undefined;
    const tiles = this.#areas.map((row) => row.map((area) => done.get(area) as Tensor<'float32'>));
    return this.#tiling ? joinTiles(tiles, this.#tiling) : tiles[0]?.[0];
  }

  release(): void {
    this.#loaded?.executable.release();
    this.#loaded = undefined;
  }

  async #runGraph(graph: BandGraph, input: Tensor<'float32'>): Promise<Tensor<'float32'> | undefined> {
    if (!graph.patch.takesPart) return undefined;
    const executable = await this.#executable(graph);
    const results = await executable.run({ [this.#model.input]: input }, graph.patch.nextStep());
    const { shape, data } = floatResult(results, graph.output);
    return this.#first ? float32(shape, data.slice()) : undefined;
  }

  async #executable(graph: BandGraph): Promise<Executable> {
    if (this.#loaded?.graph !== graph) {
      this.release();
      this.#loaded = { graph, executable: await this.#load(graph) };
    }
    return this.#loaded.executable;
  }
}

/** The graph of a rank's band for inputs of one size. */
class BandGraph {
  readonly patch: SynchronousPatch;
  readonly part: GraphPart;
  readonly output: string;
  readonly #device: Device;
  readonly #graph: Graph;

  constructor(
    device: Device,
    model: VaeHalfModel,
    weights: WeightSource,
    size: GridSize,
    place: RankPlace,
    slots: SlotTable,
  ) {
    this.patch = new SynchronousPatch(place, { rows: size.rows, halvings: model.halvings }, slots);
    const graph = new Graph(device.elementType);
    const kernels = model.createKernels?.(graph) ?? device.kernels(graph);
    this.output = model.build(this.patch.layers(kernels, weights), size).name;
    this.part = graph.program().step;
    this.#device = device;
    this.#graph = graph;
  }

  get peakBytes(): number {
    return activationBytes(this.#device, this.#graph);
  }
}

function sizeKey({ rows, columns }: GridSize): string {
  return `${rows}x${columns}`;
}
