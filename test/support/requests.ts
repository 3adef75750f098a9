import { referenceDevice } from '../../src/engine/device.js';
import {
  completeOptions,
  type ParallelOptions,
  type StrategyName,
  type StrategyOptions,
} from '../../src/parallel/registry.js';
import type { LoadOptions } from '../../src/pipelines/load-options.js';
import { firstRankVae } from '../../src/pipelines/load-options.js';
import type { GenerationRequest } from '../../src/pipelines/request.js';

/** A request with everything that a test does not care about. */
export function requestOf(changes: Partial<GenerationRequest>): GenerationRequest {
  return {
    prompt: [''],
    negativePrompt: [],
    height: 64,
    width: 64,
    numInferenceSteps: 2,
    guidanceScale: 5,
    eta: 0,
    numImagesPerPrompt: 1,
    scheduler: 'ddim',
    seed: 1234n,
    rng: 'cpu',
    outputType: 'latent',
    trace: true,
    familyOptions: {},
    ...changes,
  };
}

/**
 * A strategy as it is by default, or as `given` says; without a split batch where nothing is said of that.
 */
export function parallelOf(
  parallelism: StrategyName,
  { splitBatch = false, ...given }: Partial<StrategyOptions> & { readonly splitBatch?: boolean } = {},
): ParallelOptions {
  return { ...completeOptions(parallelism, given), parallelism, splitBatch };
}

/** A checkpoint of a family on ranks of one thread that share their weights. */
export function loadOf(family: string, directory: string, changes: Partial<LoadOptions> = {}): LoadOptions {
  return {
    family,
    directory,
    variant: undefined,
    synthetic: false,
    device: referenceDevice,
    weights: 'shared',
    threads: 1,
    vae: firstRankVae,
    ...changes,
  };
}
