import { type DeviceChoice, referenceDevice } from '../../src/engine/device.js';
import { loadPipeline } from '../../src/families/load-pipeline.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { familyOf } from '../../src/families/registry.js';
import { PartCache } from '../../src/pipelines/part-cache.js';
import type { Generation, GenerationRequest } from '../../src/pipelines/request.js';
import type { ProgressListener } from '../../src/ranks/progress.js';
import type { RankContext } from '../../src/ranks/rank-context.js';
import { loadOf, parallelOf } from './requests.js';

/** A single rank inside the test's own process. */
export const onlyRank: RankContext = {
  rank: 0,
  worldSize: 1,
  connect: () => Promise.reject(new Error('a single rank has nobody to connect to')),
};

export const silent: ProgressListener = { phase: () => {}, step: () => {} };

/** Draws a request on one rank in this process. */
export async function generateHere(
  directory: string,
  request: GenerationRequest,
  device: DeviceChoice = referenceDevice,
): Promise<Generation> {
  const family = familyOf(await openCheckpoint(directory));
  const load = loadOf(family.name, directory, { device, weights: 'private' });
  const cache = new PartCache();
  try {
    const spec = { load, request, parallel: parallelOf('patch', { splitBatch: true }) };
    const pipeline = await loadPipeline(spec, onlyRank, cache, silent);
    return await pipeline.generate(request, silent);
  } finally {
    cache.release();
  }
}
