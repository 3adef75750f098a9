import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { HubApiError } from '@huggingface/hub';
import { isFile } from '../base/file-io.js';
import { CachedModel } from '../checkpoint/hub/cache-layout.js';
import { type HubEnvironment, hubEnvironment } from '../checkpoint/hub/environment.js';
import { explain, isPassing } from '../checkpoint/hub/errors.js';
import { Repository } from '../checkpoint/hub/repository.js';
import { type OnProgress, SnapshotDownload } from '../checkpoint/hub/snapshot.js';
import { datasetError } from './caption-dataset.js';
import { chooseParquetFiles } from './parquet-files.js';

/** The second is where the hub keeps what it converted to Parquet of data sets that are something else. */
const REVISIONS = ['main', 'refs/convert/parquet'];

/**
 * The Parquet files of the data set `id` in the hub's cache, downloaded where they are missing. Offline, and
 * without a network, what is in the cache is used.
 */
export async function resolveHubDataset(id: string, onProgress: OnProgress | undefined): Promise<string[]> {
  const environment = await hubEnvironment();
  const cached = new CachedModel(environment.cacheDir, id, 'dataset');
  if (environment.offline) {
    const files = await cachedFiles(cached, id);
    if (files !== undefined) return files;
    throw datasetError(
      id,
      `no such folder, and no Parquet files of it in ${cached.folder} (offline); unset HF_HUB_OFFLINE to download it`,
    );
  }
  try {
    const files = await downloadedFiles(cached, id, environment, onProgress);
    if (files !== undefined) return files;
  } catch (error) {
    const files = isPassing(error) ? await cachedFiles(cached, id).catch(() => undefined) : undefined;
    if (files !== undefined) return files;
    throw explain(error, { id, revision: 'main', endpoint: environment.endpoint, kind: 'dataset' });
  }
  throw datasetError(id, `the hub has no Parquet files of it; download its files and give their folder`);
}

async function downloadedFiles(
  cached: CachedModel,
  id: string,
  { endpoint, token }: HubEnvironment,
  onProgress: OnProgress | undefined,
): Promise<string[] | undefined> {
  const repository = new Repository(id, endpoint, token, 'dataset');
  for (const revision of REVISIONS) {
    const listing = await repository.list(revision).catch((error) => {
      if (revision !== 'main' && error instanceof HubApiError && error.statusCode === 404) return undefined;
      throw error;
    });
    if (listing === undefined) continue;
    const paths = chooseParquetFiles(
      listing.files.map(({ path }) => path),
      id,
    );
    if (paths.length === 0) continue;
    await new SnapshotDownload(repository, cached, listing).get(paths, onProgress);
    await cached.setCommitOf(revision, listing.commit);
    return paths.map((path) => join(cached.snapshot(listing.commit), path));
  }
  return undefined;
}

async function cachedFiles(cached: CachedModel, id: string): Promise<string[] | undefined> {
  for (const revision of REVISIONS) {
    const commit = await cached.commitOf(revision);
    if (commit === undefined) continue;
    const snapshot = cached.snapshot(commit);
    const names = await readdir(snapshot, { recursive: true }).catch(() => []);
    const paths = chooseParquetFiles(names, id);
    // Links to nowhere are of downloads that did not end.
    const whole = await Promise.all(paths.map((path) => isFile(join(snapshot, path))));
    if (paths.length > 0 && whole.every(Boolean)) return paths.map((path) => join(snapshot, path));
  }
  return undefined;
}
