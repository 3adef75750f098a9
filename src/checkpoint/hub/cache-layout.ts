import { randomBytes } from 'node:crypto';
import { readFile, rename, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { DistriError } from '../../base/errors.js';
import { writeAtomically } from '../../base/file-io.js';
import { makeFolders } from '../../base/folders.js';

const COMMIT = /^[0-9a-f]{40}$/;

export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

/** What the hub keeps; its names for them. */
export type RepositoryKind = 'model' | 'dataset';

/**
 * One model or data set in the cache that all Hugging Face libraries share: contents are in `blobs/` under
 * their hash, `snapshots/<commit>/` has links to them under the files' own names, `refs/<branch>` holds the
 * commit of a branch.
 */
export class CachedModel {
  readonly folder: string;

  constructor(cacheDir: string, id: string, kind: RepositoryKind = 'model') {
    this.folder = join(cacheDir, [`${kind}s`, ...id.split('/')].join('--'));
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  blob(etag: string): string {
    return join(this.folder, 'blobs', etag);
  }

  /** The commit that `revision` (a branch, a tag or a commit) was when it was last downloaded. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const content = await readFile(this.ref(revision), 'utf8').catch(() => '');
    return isCommit(content.trim()) ? content.trim() : undefined;
  }

  async setCommitOf(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const path = this.ref(revision);
    await makeFolders(dirname(path));
    await writeAtomically(path, async (handle) => {
      await handle.write(commit);
    });
  }

  /**
   * True where the snapshot has the whole file `path`: with other sizes it is what was left of an accident.
   */
  async has(commit: string, path: string, size: number): Promise<boolean> {
    return hasSize(join(this.snapshot(commit), path), size);
  }

  /** Gives the blob `etag` the name `path` in the snapshot. */
  async link(commit: string, path: string, etag: string): Promise<void> {
    const link = join(this.snapshot(commit), path);
    await makeFolders(dirname(link));
    // Under another name first: rename replaces a link to nowhere, which symlink refuses to.
    const temporary = `${link}.${randomBytes(4).toString('hex')}.tmp`;
    await symlink(relative(dirname(link), this.blob(etag)), temporary);
    await rename(temporary, link);
  }

  private ref(revision: string): string {
    if (revision.split('/').some((part) => part === '' || part === '.' || part === '..')) {
      throw new DistriError('usage', `${JSON.stringify(revision)} is not a branch, tag or commit`);
    }
    return join(this.folder, 'refs', revision);
  }
}

export async function hasSize(path: string, size: number): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile() && stats.size === size,
    () => false,
  );
}
