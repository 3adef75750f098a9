import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expected } from '../base/errors.js';
import { type JsonObject, readJsonObject } from '../base/json.js';
import { configsFolder } from '../base/package.js';

/** Models that predict noise. */
export type ArchitectureClass = 'UNet2DConditionModel' | 'PixArtTransformer2DModel';

const EXTENSION = '.json';

/** The config called `name` of those models of a class that come with the package. */
export async function readArchitecture(
  name: string,
  className: ArchitectureClass = 'UNet2DConditionModel',
): Promise<JsonObject> {
  const configs = new Map<string, JsonObject>();
  for (const known of await architectureNames()) {
    const config = await readJsonObject(join(configsFolder, `${known}${EXTENSION}`));
    if (config._class_name === className) configs.set(known, config);
  }
  const config = configs.get(name);
  if (config === undefined)
    throw expected(`one of ${[...configs.keys()].join(', ')}`, '--random_weights', name);
  return config;
}

/** The class of the config called `name`; undefined where there is none. */
export async function architectureClass(name: string): Promise<unknown> {
  if (!(await architectureNames()).includes(name)) return undefined;
  return (await readJsonObject(join(configsFolder, `${name}${EXTENSION}`)))._class_name;
}

async function architectureNames(): Promise<string[]> {
  const files = await readdir(configsFolder);
  return files
    .filter((file) => file.endsWith(EXTENSION))
    .map((file) => file.slice(0, -EXTENSION.length))
    .sort();
}
