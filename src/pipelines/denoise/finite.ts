import { DistriError } from '../../base/errors.js';
import { quote } from '../../base/quote.js';
import { findNonFinite } from '../../checkpoint/non-finite.js';
import { synchronousSteps } from '../../parallel/registry.js';
import { Refusal } from '../../ranks/refusal.js';
import type { LoopOptions } from './loop.js';

/**
 * Refuses latents that are no numbers, which would end as a black picture; on all ranks alike, so that they
 * stay. The message says where they may come from: weights that hold such numbers themselves, or what ranks
 * take of earlier steps. Weights are only searched when something is wrong.
 */
export async function requireFinite(
  latents: Float32Array,
  { step, steps }: { readonly step: number; readonly steps: number },
  {
    model,
    weights,
    parallel,
    topology,
    ranks,
  }: Pick<LoopOptions, 'model' | 'weights' | 'parallel' | 'topology' | 'ranks'>,
): Promise<void> {
  if (latents.every(Number.isFinite)) return;
  const where = `the latents are not finite after step ${step + 1} of ${steps} on rank ${ranks.rank}`;
  const tensor = await findNonFinite(weights);
  if (tensor !== undefined) {
    const advice = 'another copy of the checkpoint may help';
    const weightsOf = `weights of the ${model.component}`;
    throw new Refusal(
      new DistriError('checkpoint', `${where}, because ${weightsOf} are not: ${quote(tensor)}; ${advice}`),
    );
  }
  const stale = synchronousSteps(parallel, topology, steps) < steps;
  const message = stale
    ? `${where}; another --sync_mode or more --warmup_steps may help`
    : `${where}, though all weights of the ${model.component} are; look at scheduler_config.json and --guidance_scale`;
  throw new Refusal(new DistriError('rank', message));
}
