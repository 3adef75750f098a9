import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expected } from '../base/errors.js';
import { type JsonObject, readJsonObject } from '../base/json.js';
import { configsFolder } from '../base/package.js';
import type { ConfigSource, Family } from './family.js';
import { families } from './registry.js';

const EXTENSION = '.json';

/** A noise model that comes as a config, without weights. */
export interface Architecture {
  readonly name: string;
  readonly family: Family;
  readonly config: JsonObject;
}

/** The architecture called `name`, of one family or of any. */
export async function readArchitecture(name: string, family?: Family): Promise<Architecture> {
  const known = await architectures(family === undefined ? families : [family]);
  const found = known.find((architecture) => architecture.name === name);
  if (found !== undefined) return found;
  const names = known.map((architecture) => architecture.name);
  throw expected(`one of ${names.join(', ')}`, '--random_weights', name);
}

async function architectures(of: readonly Family[]): Promise<Architecture[]> {
  const found: Architecture[] = [];
  for (const file of (await readdir(configsFolder)).sort()) {
    if (!file.endsWith(EXTENSION)) continue;
    const config = await readJsonObject(join(configsFolder, file));
    const family = of.find(({ synthetic }) => synthetic.isArchitecture(config));
    if (family) found.push({ name: file.slice(0, -EXTENSION.length), family, config });
  }
  return found;
}

/** The configs of a pipeline around an architecture. */
export function architectureConfigs({
  family,
  config,
}: Pick<Architecture, 'family' | 'config'>): ConfigSource {
  return {
    config: async (component) => {
      const found = component === family.component ? config : family.synthetic.configs[component];
      if (found === undefined) throw new Error(`an architecture has no ${component}`);
      return found;
    },
  };
}
