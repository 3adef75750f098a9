import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type JsonObject, readJsonObject } from '../checkpoint/json.js';
import { expected } from '../runtime/errors.js';
import { configsFolder } from './package.js';

const EXTENSION = '.json';

/** The UNet config called `name` of those that come with the package. */
export async function readArchitecture(name: string): Promise<JsonObject> {
  const names = await architectureNames();
  if (!names.includes(name)) throw expected(`one of ${names.join(', ')}`, '--random_weights', name);
  return readJsonObject(join(configsFolder, `${name}${EXTENSION}`));
}

async function architectureNames(): Promise<string[]> {
  const files = await readdir(configsFolder);
  return files
    .filter((file) => file.endsWith(EXTENSION))
    .map((file) => file.slice(0, -EXTENSION.length))
    .sort();
}
