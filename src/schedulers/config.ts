import { ConfigReader, type RawConfig } from '../base/config-reader.js';

/**
 * A scheduler_config.json as one scheduler class sees it. Missing keys have the class's defaults; keys of
 * other classes are not looked at, as in diffusers' `from_config` across classes.
 */
export function schedulerConfig(values: RawConfig): ConfigReader {
  // A config taken from a diffusers object of another class names the keys that only hold that class's
  // defaults.
  const { _use_default_values: defaults } = values;
  const dropped: readonly unknown[] = Array.isArray(defaults) ? defaults : [];
  const own = Object.entries(values).filter(([key]) => !dropped.includes(key));
  return new ConfigReader('scheduler/scheduler_config.json', Object.fromEntries(own));
}
