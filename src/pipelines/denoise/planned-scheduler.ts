import type { RawConfig } from '../../base/config-reader.js';
import type { GridSize } from '../../base/sizes.js';
import type { NoiseModel } from '../../models/noise-model.js';
import { createScheduler } from '../../schedulers/registry.js';
import type { Scheduler } from '../../schedulers/scheduler.js';
import type { GenerationRequest } from '../request.js';

/** What a request's timesteps follow from, besides itself. */
export interface ScheduleSource {
  /** scheduler_config.json. */
  readonly scheduler: RawConfig;
  readonly model: Pick<NoiseModel, 'schedule'>;
  readonly latent: GridSize;
}

/** The scheduler of a request, set to its timesteps. */
export function plannedScheduler(
  { scheduler: name, numInferenceSteps }: Pick<GenerationRequest, 'scheduler' | 'numInferenceSteps'>,
  { scheduler: config, model, latent }: ScheduleSource,
): Scheduler {
  const scheduler = createScheduler(name, config);
  scheduler.setTimesteps(numInferenceSteps, model.schedule?.(numInferenceSteps, latent));
  return scheduler;
}
