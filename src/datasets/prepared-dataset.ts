import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hubEnvironment } from '../checkpoint/hub/environment.js';

/** `2014_captions/1.0.0/<hash>/coco-validation.arrow`, or several such files with their numbers. */
const PREPARED = /^2014_captions\/.+\/\w+-validation(?:-\d+-of-(\d+))?\.arrow$/;

/**
 * The Arrow files of the validation captions that Python's `datasets` prepared of the data set `id` of the
 * hub, in HF_DATASETS_CACHE; of several versions the latest. Undefined where there are none, or not all.
 */
export async function findPreparedDataset(id: string): Promise<string[] | undefined> {
  const { datasetsCacheDir } = await hubEnvironment();
  const wanted = id.replace('/', '___').toLowerCase();
  const folder = (await names(datasetsCacheDir)).find((name) => name.toLowerCase() === wanted);
  if (folder === undefined) return undefined;
  const root = join(datasetsCacheDir, folder);
  const files = (await names(root, true)).filter((name) => PREPARED.test(name)).sort();
  const versions = [...new Set(files.map((name) => dirname(name)))].map((version) =>
    files.filter((name) => dirname(name) === version),
  );
  return latest(versions.filter(isWhole).map((version) => version.map((name) => join(root, name))));
}

async function names(folder: string, recursive = false): Promise<string[]> {
  return readdir(folder, { recursive }).catch(() => []);
}

function isWhole(files: readonly string[]): boolean {
  return files.length === Number(PREPARED.exec(files[0] ?? '')?.[1] ?? 1);
}

async function latest(versions: readonly string[][]): Promise<string[] | undefined> {
  const times = await Promise.all(versions.map(async ([file = '']) => (await stat(file)).mtimeMs));
  return versions[times.indexOf(Math.max(...times))];
}
