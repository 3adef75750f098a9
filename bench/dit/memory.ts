import type { NoiseModel } from '../../src/models/noise-model.js';
import { planTopology } from '../../src/parallel/topology.js';
import type { ParallelOptions } from '../../src/pipelines/request.js';
import { RankProgram } from '../../src/planning/rank-program.js';
import type { PlannedImage } from '../../src/planning/rank-work.js';

/** Bytes that a rank holds, by its graphs. */
export interface RankMemory {
  readonly parameters: number;
  readonly activations: number;
  /** What is kept from step to step, and what peers read. */
  readonly buffers: number;
}

/** What the ranks that hold most of each hold. */
export function rankMemory(
  model: NoiseModel,
  size: Pick<PlannedImage, 'rows' | 'columns' | 'textTokens'>,
  ranks: number,
  options: ParallelOptions,
): RankMemory {
  const topology = planTopology({ worldSize: ranks, guided: true, splitBatch: false });
  const image = { model, ...size, images: 1 };
  const programs = topology.roles.map((role) => RankProgram.build(image, topology, role, options));
  const most = (part: (program: RankProgram) => number) => Math.max(...programs.map(part));
  return {
    parameters: most(({ weightBytes }) => weightBytes),
    activations: most(({ activationBytes }) => activationBytes),
    buffers: most(({ keptBytes, exchangeBytes }) => keptBytes + exchangeBytes),
  };
}
