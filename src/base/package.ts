import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's folder; this file runs as dist/src/base/package.js. */
const root = fileURLToPath(new URL('../../..', import.meta.url));

/** The model that comes with the package. */
export const embeddedModel = join(root, 'models', 'tiny-shapes');

/** The captions and images that come with the package. */
export const embeddedDataset = join(root, 'models', 'shapes-val');

/** UNet configs by name. */
export const configsFolder = join(root, 'configs');

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return version;
}
