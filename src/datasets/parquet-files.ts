import { abbreviate, listNames } from '../base/quote.js';
import { datasetError } from './caption-dataset.js';

/**
 * Configurations and splits that are meant where a data set has several; the configuration is the one of
 * distrifuser's scripts.
 */
const CONFIGURATION = '2014_captions';
const SPLITS = ['validation', 'val'];

interface Shard {
  readonly path: string;
  readonly configuration: string;
  readonly split: string;
}

/**
 * Of all files of a data set the Parquet files of its validation split, in order; of a data set with one
 * split, those. Empty where it has none. Files are called as the hub calls them:
 * `data/validation-00000-of-00002.parquet`, `2014_captions/validation/0000.parquet`.
 */
export function chooseParquetFiles(paths: readonly string[], where: string): string[] {
  const shards = paths.filter((path) => path.endsWith('.parquet')).map(readShard);
  if (shards.length === 0) return [];
  const ofOne = preferred(shards, 'configuration', [CONFIGURATION], where);
  const chosen = preferred(ofOne, 'split', SPLITS, where).map(({ path }) => path);
  checkComplete(chosen, where);
  return chosen.sort();
}

function readShard(path: string): Shard {
  const folders = path.slice(0, -'.parquet'.length).split('/');
  const base = folders.pop() ?? '';
  const name = /^\d+$/.test(base) ? (folders.pop() ?? '') : base.replace(/-\d+-of-\d+$/, '');
  return { path, configuration: folders.join('/'), split: name.replace(/^partial-/, '') };
}

function preferred(
  shards: readonly Shard[],
  what: 'configuration' | 'split',
  names: readonly string[],
  where: string,
): Shard[] {
  const found = [...new Set(shards.map((shard) => shard[what]))];
  const choice = found.length === 1 ? found[0] : names.find((name) => found.includes(name));
  if (choice === undefined) {
    throw datasetError(
      where,
      `has the ${what}s ${listNames(found.sort())} and none of them is ${names.join(' or ')}; give a folder with the Parquet files of one`,
    );
  }
  return shards.filter((shard) => shard[what] === choice);
}

function checkComplete(paths: readonly string[], where: string): void {
  const count = Number(/-of-(\d+)\.parquet$/.exec(paths[0] ?? '')?.[1] ?? paths.length);
  if (count === paths.length) return;
  throw datasetError(
    where,
    `has ${paths.length} of the ${count} Parquet files of ${abbreviate(paths[0] ?? '')}`,
  );
}
