import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { DistriError } from '../../base/errors.js';
import { readJsonObject } from '../../base/json.js';
import { type Layouts, layoutOf } from '../layouts.js';
import { findWeightFiles } from '../weight-files.js';
import { CachedModel } from './cache-layout.js';
import { hubEnvironment } from './environment.js';
import { explain, isPassing } from './errors.js';
import { isModel } from './file-selection.js';
import { type Listing, Repository } from './repository.js';
import { type OnProgress, SnapshotDownload } from './snapshot.js';

/** Which files of a model are taken, and how the hub is asked for them. */
export interface HubOptions {
  /** Of the weight files, such as fp16; by default the only one there is, or that without a variant. */
  readonly variant?: string | undefined;
  /** A branch, a tag or a commit; by default main. */
  readonly revision?: string | undefined;
  /** The hub's cache; by default the one that all Hugging Face libraries share. */
  readonly cacheDir?: string | undefined;
  /** Use the cache alone, as with HF_HUB_OFFLINE. */
  readonly offline?: boolean | undefined;
  /** Called while downloading. */
  readonly onProgress?: OnProgress | undefined;
  /** Told of what is worth knowing: that the hub can't be reached, and the cache is used. */
  readonly onNote?: ((line: string) => void) | undefined;
}

/**
 * The folder in the hub's cache with what distri needs of the model `id`, downloaded where it is missing or
 * has changed. Without a network what is in the cache is used, as diffusers does.
 */
export async function resolveHubId(id: string, layouts: Layouts, options: HubOptions = {}): Promise<string> {
  const environment = await hubEnvironment();
  const { revision = 'main', variant, onProgress } = options;
  const model = new CachedModel(options.cacheDir ?? environment.cacheDir, id);
  if (options.offline ?? environment.offline) {
    return cachedSnapshot(model, layouts, revision, variant).catch((error) => {
      throw offlineError(id, error);
    });
  }
  const question = { id, revision, endpoint: environment.endpoint };
  const repository = new Repository(id, environment.endpoint, environment.token);
  let listing: Listing;
  try {
    listing = await repository.list(revision);
  } catch (error) {
    const failure = explain(error, question);
    if (!isPassing(error)) throw failure;
    const snapshot = await cachedSnapshot(model, layouts, revision, variant).catch(() => {
      throw failure;
    });
    options.onNote?.(`${failure.message}; what the cache has of it is used`);
    return snapshot;
  }
  try {
    await new SnapshotDownload(repository, model, listing).run(layouts, variant, onProgress);
    await model.setCommitOf(revision, listing.commit);
  } catch (error) {
    throw explain(error, question);
  }
  return model.snapshot(listing.commit);
}

/** The snapshot of `revision` in the cache. Why there is none, or not a whole one, is the error's message. */
async function cachedSnapshot(
  model: CachedModel,
  layouts: Layouts,
  revision: string,
  variant: string | undefined,
): Promise<string> {
  const commit = await model.commitOf(revision);
  if (commit === undefined) {
    throw new DistriError('checkpoint', `${model.folder} has no revision ${JSON.stringify(revision)}`);
  }
  const snapshot = model.snapshot(commit);
  await checkComplete(snapshot, layouts, variant);
  return snapshot;
}

/** Another program, or an interrupted download, may have put only a part of the files there. */
async function checkComplete(snapshot: string, layouts: Layouts, variant: string | undefined): Promise<void> {
  const { _class_name: name } = await readJsonObject(join(snapshot, 'model_index.json'));
  for (const component of layoutOf(layouts, name) ?? []) {
    const folder = join(snapshot, component);
    await access(folder).catch(() => {
      throw new DistriError('checkpoint', `${folder} is missing`);
    });
    if (isModel(component)) await findWeightFiles(folder, variant);
  }
}

function offlineError(id: string, reason: unknown): DistriError {
  const looked = reason instanceof Error ? reason.message : String(reason);
  return new DistriError(
    'checkpoint',
    `${id}: no such folder, and not usable from the hub's cache (offline): ${looked}; unset HF_HUB_OFFLINE to download it`,
    { cause: reason },
  );
}
