import { expected } from '../../base/errors.js';
import type { GenerationRequest } from '../request.js';

/**
 * Index of the first timestep that is taken: image to image skips those of more noise, as get_timesteps of
 * diffusers' pipelines.
 */
export function firstStep({
  initImage,
  numInferenceSteps,
}: Pick<GenerationRequest, 'initImage' | 'numInferenceSteps'>): number {
  if (initImage === undefined) return 0;
  const taken = Math.min(Math.trunc(numInferenceSteps * initImage.strength), numInferenceSteps);
  if (taken >= 1) return numInferenceSteps - taken;
  throw expected(
    `at least ${1 / numInferenceSteps} with ${numInferenceSteps} steps`,
    '--strength',
    initImage.strength,
  );
}
