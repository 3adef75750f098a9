import type { JsonObject } from '../base/json.js';
import type { WeightOptions, WeightSource } from './weights.js';

/** Where configs and weights of a pipeline's parts come from. */
export interface ComponentSource {
  /** An absolute path, also of what the hub's cache has. */
  readonly directory: string;
  /** model_index.json; empty where there is none. */
  readonly modelIndex: Readonly<JsonObject>;
  /**
   * The component's config.json, scheduler_config.json or tokenizer_config.json, with NaN and infinities as
   * Python writes them. Rejects with a `checkpoint` error where it is missing or no JSON object.
   */
  config(component: string): Promise<JsonObject>;
  /**
   * Opens the component's safetensors files, without reading the weights. Such as are of another type than
   * asked for are converted into a cache first. Rejects with a `checkpoint` error for damaged files, `output`
   * where there is no room.
   */
  weights(component: string, options?: WeightOptions): Promise<WeightSource>;
}
