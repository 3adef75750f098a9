import { existsSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DistriError } from './errors.js';
import { fileError, systemErrorCode } from './file-io.js';

/**
 * Files that another process writes and this one makes visible when all of them are complete. Until then they lie in a hidden folder next to their
 * target (so on the same file system), which `discard` removes with whatever else is in it.
 */
export class Staging {
  private readonly targets = new Map<string, string>();
  /** Hidden folder by the folder of the targets. */
  private readonly folders = new Map<string, string>();
  /** Folders that did not exist before, the outermost first. */
  private readonly created: string[] = [];

  constructor() {
    process.on('exit', this.discardNow);
  }

  /**
   * Checks that a file can be written at `target`, creating its folder, and returns the path at which to write it.
   * What stands in the way is an `output` error. The writer creates the path's folder.
   */
  async add(target: string): Promise<string> {
    await refuseSpecialFile(target);
    const parent = dirname(target);
    const folder = this.folders.get(parent) ?? (await this.hiddenFolder(parent));
    this.folders.set(parent, folder);
    const path = join(folder, basename(target));
    this.targets.set(path, target);
    return path;
  }

  /** Checks that files can be written in `folder`, creating it. */
  async reserve(folder: string): Promise<void> {
    await this.hiddenFolder(folder);
  }

  /** `error` with the final names of files in its message: people know no others. */
  withTargets(error: unknown): unknown {
    if (!(error instanceof DistriError)) return error;
    let { message } = error;
    for (const [path, target] of this.targets) message = message.replaceAll(path, target);
    return message === error.message ? error : new DistriError(error.code, message, { cause: error });
  }

  /** Gives all files their final names, replacing files that have them. */
  async commit(): Promise<void> {
    for (const [path, target] of this.targets) {
      await rename(path, target).catch((error) => {
        throw fileError(error, target, 'output');
      });
    }
    await this.discard();
  }

  /** Removes what was not committed. */
  async discard(): Promise<void> {
    for (const folder of this.folders.values()) await rm(folder, { recursive: true, force: true });
    // Those with something in them stay.
    for (const folder of this.created.toReversed()) await rmdir(folder).catch(() => {});
    process.off('exit', this.discardNow);
  }

  private readonly discardNow = (): void => {
    for (const folder of this.folders.values()) rmSync(folder, { recursive: true, force: true });
  };

  /** A name in `parent` for a folder; that it could be created shows that `parent` can be written. */
  private async hiddenFolder(parent: string): Promise<string> {
    try {
      this.created.push(...(await makeFolders(parent)));
      const folder = await mkdtemp(join(parent, '.distri-'));
      // The writer creates it again: a run that is killed meanwhile leaves nothing.
      await rmdir(folder);
      return folder;
    } catch (error) {
      throw fileError(error, parent, 'output');
    }
  }
}

/**
 * Makes `path` and what is missing above it; returns what was made, the outermost first. (Node's own recursive mkdir never returns where folders
 * can't be made, as below /proc.)
 */
async function makeFolders(path: string): Promise<string[]> {
  if (existsSync(path)) return [];
  const above = await makeFolders(dirname(path));
  try {
    await mkdir(path);
    return [...above, path];
  } catch (error) {
    // Another process was faster.
    if (systemErrorCode(error) === 'EEXIST') return above;
    throw error;
  }
}

/** Renaming onto a device or a named pipe would replace it, onto a folder fails late. */
async function refuseSpecialFile(target: string): Promise<void> {
  const stats = await stat(target).catch((error) => {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return undefined;
    throw fileError(error, target, 'output');
  });
  if (stats !== undefined && !stats.isFile()) {
    const kind = stats.isDirectory() ? 'a folder' : 'not a regular file';
    throw new DistriError('output', `${target}: ${kind}; give the path of a file`);
  }
}
