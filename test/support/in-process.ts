import type { PixArtAlphaPipeline } from '../../src/families/pixart-alpha.js';
import { StableDiffusionPipeline } from '../../src/families/stable-diffusion.js';
import type {
  Generation,
  GenerationRequest,
  ParallelOptions,
  ProgressListener,
} from '../../src/pipelines/request.js';
import type { RankContext } from '../../src/ranks/rank-context.js';

/** A single rank inside the test's own process. */
export const onlyRank: RankContext = {
  rank: 0,
  worldSize: 1,
  connect: () => Promise.reject(new Error('a single rank has nobody to connect to')),
};

type PipelineKind = Pick<typeof StableDiffusionPipeline | typeof PixArtAlphaPipeline, 'load'>;

export const silent: ProgressListener = { phase: () => {}, step: () => {} };

export const noParallelism: ParallelOptions = {
  parallelism: 'patch',
  splitScheme: 'alternate',
  splitBatch: true,
  syncMode: 'corrected_async_gn',
  warmupSteps: 4,
};

/** Draws a request on one rank in this process, by default with SDXL. */
export async function generateHere(
  directory: string,
  request: GenerationRequest,
  { variant, kind = StableDiffusionPipeline }: { variant?: string; kind?: PipelineKind } = {},
): Promise<Generation> {
  const options = { directory, variant, weights: 'private', threads: 1 } as const;
  const pipeline = await kind.load(options, onlyRank, request, noParallelism, silent);
  try {
    return await pipeline.generate(request, silent);
  } finally {
    await pipeline.close();
  }
}
