import { join } from 'node:path';
import { requireSpace } from '../../base/disk-space.js';
import { DistriError } from '../../base/errors.js';
import { makeFolders } from '../../base/folders.js';
import { readJsonObject } from '../../base/json.js';
import { sum } from '../../base/numbers.js';
import { abbreviate } from '../../base/quote.js';
import { type Layouts, layoutOf } from '../layouts.js';
import { parseIndex } from '../weight-files.js';
import { type CachedModel, hasSize } from './cache-layout.js';
import { downloadBlob } from './download.js';
import { isModel, smallFiles, weightFile } from './file-selection.js';
import type { Listing, RemoteFile, Repository } from './repository.js';

/** Told how much of all that is missing has been downloaded. */
export type OnProgress = (bytesDone: number, bytesTotal: number) => void;

/**
 * Downloads what a pipeline needs of one commit into the cache; what is there already is not asked for again.
 */
export class SnapshotDownload {
  private readonly commit: string;
  private readonly files: ReadonlyMap<string, RemoteFile>;

  constructor(
    private readonly repository: Repository,
    private readonly model: CachedModel,
    { commit, files }: Listing,
  ) {
    this.commit = commit;
    this.files = new Map(files.map((file) => [file.path, file]));
  }

  async run(
    layouts: Layouts,
    variant: string | undefined,
    onProgress: OnProgress | undefined,
  ): Promise<void> {
    const index = await this.json('model_index.json');
    // What distri cannot run is left to `openCheckpoint` to refuse, before gigabytes are downloaded.
    const components = layoutOf(layouts, index._class_name);
    if (components === undefined) return;
    const paths = [...this.files.keys()];
    const needed: string[] = [];
    for (const component of components) {
      needed.push(...smallFiles(component, paths));
      if (isModel(component)) needed.push(...(await this.weights(component, paths, variant)));
    }
    await this.get(needed, onProgress);
  }

  private async json(path: string): Promise<Readonly<Record<string, unknown>>> {
    await this.get([path]);
    return readJsonObject(join(this.model.snapshot(this.commit), path));
  }

  /** The paths of a component's weights; of sharded ones the index is read for that. */
  private async weights(
    component: string,
    paths: readonly string[],
    variant: string | undefined,
  ): Promise<string[]> {
    const { path, kind } = weightFile(component, paths, variant, this.repository.id);
    if (kind === 'file') return [path];
    const shards = new Set(parseIndex(await this.json(path), path).map(([, shard]) => shard));
    return [path, ...[...shards].map((shard) => `${component}/${shard}`)];
  }

  /** Downloads the files called `paths`. */
  async get(paths: readonly string[], onProgress?: OnProgress): Promise<void> {
    const missing: RemoteFile[] = [];
    for (const path of paths) {
      const file = this.remote(path);
      if (!(await this.model.has(this.commit, path, file.size))) missing.push(file);
    }
    const total = sum(missing.map(({ size }) => size));
    await this.checkSpace(total);
    let before = 0;
    for (const file of missing) {
      await this.download(file, (done) => onProgress?.(before + done, total));
      before += file.size;
    }
  }

  private async download(file: RemoteFile, onProgress: (bytesDone: number) => void): Promise<void> {
    const blob = this.model.blob(file.etag);
    if (!(await hasSize(blob, file.size))) {
      const request = (start: number, signal: AbortSignal) =>
        this.repository.content(this.commit, file.path, start, signal);
      await downloadBlob(file, blob, request, onProgress);
    }
    await this.model.link(this.commit, file.path, file.etag);
  }

  private remote(path: string): RemoteFile {
    const file = this.files.get(path);
    if (file === undefined) {
      throw new DistriError(
        'checkpoint',
        `${this.repository.id}: the repository has no ${abbreviate(path)}; a checkpoint in diffusers' layout is needed`,
      );
    }
    return file;
  }

  private async checkSpace(bytes: number): Promise<void> {
    const { folder } = this.model;
    await makeFolders(folder);
    const remedy = 'make room or set HF_HOME to a folder on another disk';
    await requireSpace(folder, bytes, `downloading ${this.repository.id}`, remedy);
  }
}
