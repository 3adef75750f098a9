import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { expected } from '../base/errors.js';
import { isHubId } from '../checkpoint/hub/id.js';
import type { OnProgress } from '../checkpoint/hub/snapshot.js';
import type { CaptionDataset } from './caption-dataset.js';
import { openCocoFolder } from './coco-folder.js';
import { chooseParquetFiles } from './parquet-files.js';
import type { TableFiles } from './table-messages.js';

/**
 * The data set that comes with the package: 512 pictures of shapes that the embedded model was not trained
 * on.
 */
export const EMBEDDED_DATASET = 'shapes-val';
/** The one that distrifuser's scripts use. */
export const REFERENCE_DATASET = 'HuggingFaceM4/COCO';

/**
 * Opens `shapes-val` (which lies at `embedded`), a folder, a file with annotations, or a data set of the hub.
 * `onProgress` is called while that is downloaded.
 */
export async function openCaptionDataset(
  name: string,
  embedded: string,
  onProgress?: OnProgress,
): Promise<CaptionDataset> {
  if (name === EMBEDDED_DATASET) return openCocoFolder(embedded, name);
  if (existsSync(name)) return openPath(resolve(name));
  if (!isHubId(name)) {
    throw expected(
      `${EMBEDDED_DATASET}, a folder with captions and images, or a data set of the hub`,
      '--dataset',
      name,
    );
  }
  // Most runs need neither the hub nor tables.
  const { findPreparedDataset } = await import('./prepared-dataset.js');
  const prepared = await findPreparedDataset(name);
  if (prepared !== undefined) {
    return openTables('arrow', prepared, name);
  }
  const { resolveHubDataset } = await import('./hub-dataset.js');
  return openTables('parquet', await resolveHubDataset(name, onProgress), name);
}

async function openPath(path: string): Promise<CaptionDataset> {
  if (path.endsWith('.parquet')) return openTables('parquet', [path], path);
  const names = await readdir(path, { recursive: true }).catch(() => []);
  const tables = chooseParquetFiles(names, path);
  if (tables.length === 0) return openCocoFolder(path, path);
  return openTables(
    'parquet',
    tables.map((table) => join(path, table)),
    path,
  );
}

async function openTables(
  format: TableFiles['format'],
  paths: readonly string[],
  name: string,
): Promise<CaptionDataset> {
  const { openIsolatedTables } = await import('./isolated-tables.js');
  return openIsolatedTables({ format, paths, name });
}
