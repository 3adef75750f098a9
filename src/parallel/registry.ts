import { DistriError } from '../base/errors.js';
import type { ParallelismName } from '../pipelines/request.js';
import { displacedPatch } from './strategies/displaced-patch.js';
import { naivePatch } from './strategies/naive-patch.js';
import { sequenceParallel } from './strategies/sequence.js';
import { tensorParallel } from './strategies/tensor.js';
import type { Parallelism, ParallelismContext } from './strategy.js';

const strategies: Readonly<
  Record<Exclude<ParallelismName, 'pipefusion'>, (context: ParallelismContext) => Parallelism>
> = {
  patch: displacedPatch,
  naive_patch: naivePatch,
  tensor: tensorParallel,
  sequence: sequenceParallel,
};

/** The strategy that `--parallelism` names, set up for one rank. Refuses what the picture's size does not allow. */
export function createParallelism(context: ParallelismContext): Parallelism {
  const { parallelism } = context.options;
  if (parallelism === 'pipefusion') {
    throw new DistriError(
      'unsupported',
      'pipefusion divides the blocks of a transformer, and this model is a UNet; patch would work',
    );
  }
  return strategies[parallelism](context);
}
