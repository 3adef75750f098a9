import { strategyOf } from '../../parallel/registry.js';
import type { GenerationRequest } from '../request.js';
import type { LatentLoop, LoopOptions } from './loop.js';
import { StageLoop } from './stage-loop.js';
import { StepLoop } from './step-loop.js';

/** The loop of the way in which the ranks share the work. Waits for the other ranks. */
export function loadLoop(request: GenerationRequest, options: LoopOptions): Promise<LatentLoop> {
  const strategy = strategyOf(options.parallel);
  return strategy.kind === 'stages'
    ? StageLoop.load(strategy, options)
    : StepLoop.load(strategy, request, options);
}
