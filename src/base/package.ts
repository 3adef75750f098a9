import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** This package's folder. */
const root = packageRoot(dirname(fileURLToPath(import.meta.url)));

/** The model that comes with the package. */
export const embeddedModel = join(root, 'models', 'tiny-shapes');

/** The captions and images that come with the package. */
export const embeddedDataset = join(root, 'models', 'shapes-val');

/** UNet configs by name. */
export const configsFolder = join(root, 'configs');

/** The folder of html pages' styles and scripts. */
export const htmlAssets = join(root, 'assets', 'html');

/** The weights of LPIPS's channels. */
export const lpipsHeadsFile = join(root, 'models', 'lpips', 'alex.safetensors');

/** The addon, where it was built. */
export const addonFile = join(root, 'build', 'native', 'distri.node');

/** The nearest folder upwards with a package.json: modules run compiled or bundled, at different depths. */
export function packageRoot(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : packageRoot(dirname(folder));
}

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return version;
}
