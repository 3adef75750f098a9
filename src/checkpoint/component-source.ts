import type { JsonObject } from '../base/json.js';
import type { WeightOptions, WeightSource } from './weights.js';

/** Where configs and weights of a pipeline's parts come from. */
export interface ComponentSource {
  readonly directory: string;
  /** model_index.json; empty where there is none. */
  readonly modelIndex: Readonly<JsonObject>;
  /** The component's config.json, scheduler_config.json or tokenizer_config.json. */
  config(component: string): Promise<JsonObject>;
  weights(component: string, options?: WeightOptions): Promise<WeightSource>;
}
