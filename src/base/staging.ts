import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { atExit } from './at-exit.js';
import { DistriError } from './errors.js';
import { fileError, systemErrorCode } from './file-io.js';
import { makeFolders } from './folders.js';
import { ownedName, removeLeftovers } from './leftovers.js';

/** Of the hidden folders. */
const PREFIX = '.distri';

/**
 * Files that another process writes and this one makes visible when all of them are complete. Until then they
 * lie in a hidden folder next to their target (so on the same file system), which `discard` removes with
 * whatever else is in it; what a killed process left, the next one removes that writes to the same folder.
 */
export class Staging {
  private readonly targets = new Map<string, string>();
  /** Hidden folder by the folder of the targets. */
  private readonly folders = new Map<string, string>();
  /** Folders that did not exist before, the outermost first. */
  private readonly created: string[] = [];
  private readonly forget = atExit(() => this.discardNow());

  /**
   * Checks that a file can be written at `target`, creating its folder, and returns the path at which to
   * write it. What stands in the way is an `output` error.
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
    await rmdir(await this.hiddenFolder(folder));
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
    this.forget();
  }

  private discardNow(): void {
    for (const folder of this.folders.values()) rmSync(folder, { recursive: true, force: true });
  }

  /**
   * A folder in `parent` that nobody else may write to; that it could be made shows that `parent` can be
   * written.
   */
  private async hiddenFolder(parent: string): Promise<string> {
    try {
      this.created.push(...(await makeFolders(parent)));
      await removeLeftovers(parent, PREFIX);
      return await mkdtemp(join(parent, ownedName(PREFIX)));
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' || !existsSync(parent))
        throw fileError(error, parent, 'output');
      // Such as /proc.
      throw new DistriError('output', `${parent}: no files can be made in this folder`, { cause: error });
    }
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
