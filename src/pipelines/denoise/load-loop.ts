import type { GenerationRequest } from '../request.js';
import { StageLoop } from './stage-loop.js';
import { DenoisingLoop, type LatentLoop, type LoopOptions } from './step-loop.js';

/** The loop of the way in which the ranks share the work. Waits for the other ranks. */
export function loadLoop(request: GenerationRequest, options: LoopOptions): Promise<LatentLoop> {
  return options.parallel.parallelism === 'pipefusion'
    ? StageLoop.load(request, options)
    : DenoisingLoop.load(request, options);
}
