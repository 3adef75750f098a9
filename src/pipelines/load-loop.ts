import { DenoisingLoop, type LatentLoop, type LoopOptions } from './denoising-loop.js';
import { PipelineLoop } from './pipeline-loop.js';
import type { GenerationRequest } from './request.js';

/** The loop of the way in which the ranks share the work. Waits for the other ranks. */
export function loadLoop(request: GenerationRequest, options: LoopOptions): Promise<LatentLoop> {
  return options.parallel.parallelism === 'pipefusion'
    ? PipelineLoop.load(request, options)
    : DenoisingLoop.load(request, options);
}
