import { WeightPlan } from '../../src/checkpoint/random-weights.js';
import { byteLength } from '../../src/graph/cost.js';
import type { Graph } from '../../src/graph/graph.js';
import { peakActivationBytes } from '../../src/graph/liveness.js';
import { createParallelism } from '../../src/parallel/create.js';
import { PipeFusion } from '../../src/parallel/pipefusion.js';
import { type PipelinePart, PipelinePlan } from '../../src/parallel/pipeline-plan.js';
import { SlotTable } from '../../src/parallel/slots.js';
import { buildNoiseModel } from '../../src/pipelines/denoiser.js';
import type { BlockStructure, LatentShape, NoiseModel } from '../../src/pipelines/noise-model.js';
import { reserveMessages, stageContext } from '../../src/pipelines/pipeline-denoiser.js';
import type { ParallelOptions, PipelineOptions } from '../../src/pipelines/request.js';
import { planTopology, type RankRole, type Topology } from '../../src/runtime/topology.js';

/** Bytes that a rank holds, by its graphs. */
export interface RankMemory {
  readonly parameters: number;
  readonly activations: number;
  /** What is kept from step to step, and what peers read. */
  readonly buffers: number;
}

type BlockModel = NoiseModel & { readonly blocks: BlockStructure };

interface Place {
  readonly model: BlockModel;
  readonly shape: LatentShape;
  readonly topology: Topology;
  readonly role: RankRole;
}

/** What the ranks that hold most of each hold. */
export function rankMemory(
  model: BlockModel,
  shape: LatentShape,
  ranks: number,
  options: ParallelOptions,
): RankMemory {
  const topology = planTopology({ worldSize: ranks, guided: true, splitBatch: false });
  const each = topology.roles.map((role) => {
    const place = { model, shape, topology, role };
    return options.parallelism === 'pipefusion'
      ? stageMemory(place, options.pipeline ?? {})
      : layersMemory(place, options);
  });
  const most = (part: keyof RankMemory) => Math.max(...each.map((memory) => memory[part]));
  return { parameters: most('parameters'), activations: most('activations'), buffers: most('buffers') };
}

function layersMemory({ model, shape, topology, role }: Place, options: ParallelOptions): RankMemory {
  const { rows, columns } = shape;
  const { halvings, blocks } = model;
  const { patchSize } = blocks;
  const parallelism = createParallelism({ topology, role, options, rows, columns, halvings, patchSize });
  const built = buildNoiseModel(model, parallelism, new WeightPlan(), shape);
  return memoryOf(
    built.map(({ graph }) => graph),
    2 * parallelism.slots.total(role.rank),
  );
}

function stageMemory({ model, shape, topology, role }: Place, options: PipelineOptions): RankMemory {
  const { layers, patchSize, features } = model.blocks;
  const plan = PipelinePlan.make({ topology, options, layers, patchRows: shape.rows / patchSize });
  const stage = { model, plan, topology, role, shape };
  const table = new SlotTable(topology.worldSize);
  reserveMessages(table, stage);
  const context = stageContext(table, stage);
  const built = buildNoiseModel(
    model,
    {
      variants: plan.parts.length,
      layers: (variant, kernels, weights) =>
        new PipeFusion(kernels, weights, context, plan.parts[variant] as PipelinePart),
    },
    new WeightPlan(),
    shape,
  );
  const tokens = (shape.rows * shape.columns) / patchSize ** 2;
  const kept = plan.layersOf(plan.place(role).stage) * 2 * 4 * shape.batch * tokens * features;
  return memoryOf(
    built.map(({ graph }) => graph),
    kept + 2 * table.total(role.rank),
  );
}

function memoryOf(graphs: readonly Graph[], buffers: number): RankMemory {
  const [first] = graphs;
  const whole = (first?.weights ?? []).reduce((sum, value) => sum + byteLength(value), 0);
  return { parameters: whole, activations: Math.max(...graphs.map(peakActivationBytes)), buffers };
}
