import { embeddedModel } from '../base/package.js';
import { loadAddon } from '../engine/load.js';
import { machineProfiles } from './machine-profiles.js';
import { openModel } from './model.js';
import { type Observer, silent } from './observer.js';
import type { ModelOptions } from './options.js';
import { compareChoices, type PlanOptions, type PlanReport } from './plan.js';

/** Of what a plan is made. */
export interface PlanRunOptions extends ModelOptions, PlanOptions {
  /**
   * Predict how long steps take, which measures this machine for some seconds when it was not measured
   * before. By default true.
   */
  readonly measure?: boolean | undefined;
  /** Measure again, whatever is known of the machine; by default false. */
  readonly remeasure?: boolean | undefined;
  /** Told of downloads and measurements; by default nobody is. */
  readonly observer?: Observer | undefined;
  /** Ends the planning, which then rejects. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Compares the ways to share a picture of a model among ranks, without drawing: who does what, what is
 * exchanged (bytes) and held (bytes), what is impossible and why, how long a step would take (seconds), and
 * which way is best. Reads configs alone, no weights. Rejects with a `DistriError`: `usage` and `unsupported`
 * for options that do not fit the model, `checkpoint` for damaged files.
 */
export async function planRun(
  model: string = embeddedModel,
  options: PlanRunOptions = {},
): Promise<PlanReport> {
  const {
    observer = silent,
    signal = new AbortController().signal,
    measure = true,
    remeasure = false,
  } = options;
  const opened = await openModel(model, options, observer);
  const { simdLevel } = loadAddon();
  const profiles = measure ? await machineProfiles(remeasure, observer, signal) : undefined;
  return compareChoices(opened, options, simdLevel, profiles, signal);
}
