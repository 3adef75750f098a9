import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DistriError } from '../../base/errors.js';
import { fileError } from '../../base/file-io.js';
import { readPngTexts } from '../../images/png-text.js';
import { recordSettings, type Settings } from './settings.js';

/** Unfinished pictures of a process lie in a hidden folder whose name says which it is. */
const UNFINISHED = /^\.unfinished-(.+)-(\d+)$/;

/** The folder of a data set's pictures: which there are, and where the next ones are written. */
export class PictureFolder {
  private readonly unfinished: string;

  private constructor(readonly path: string) {
    this.unfinished = join(path, `.unfinished-${hostname()}-${process.pid}`);
  }

  /** Makes the folder where it is missing, records its settings and removes what killed processes left. */
  static async open(path: string, settings: Settings): Promise<PictureFolder> {
    const folder = new PictureFolder(path);
    await folder.make();
    await recordSettings(path, settings);
    await folder.clean();
    return folder;
  }

  /** `0007.png` for image 7. */
  picture(index: number): string {
    return join(this.path, `${String(index).padStart(4, '0')}.png`);
  }

  /** Where the picture is written, to be given its name by `finish`. The writer makes the folder. */
  draft(index: number): string {
    return join(this.unfinished, `${index}.png`);
  }

  /** `error` as people understand it, who do not know the draft. */
  explain(index: number, error: unknown): unknown {
    if (!(error instanceof DistriError)) return error;
    const message = error.message.replaceAll(this.draft(index), this.picture(index));
    return new DistriError(error.code, message, { cause: error });
  }

  async finish(index: number): Promise<void> {
    await rename(this.draft(index), this.picture(index)).catch((error) => {
      throw fileError(error, this.picture(index), 'output');
    });
  }

  /** True for a picture that is there as a whole. One that was drawn for another caption is an error. */
  async has(index: number, prompt: string): Promise<boolean> {
    const path = this.picture(index);
    if (!existsSync(path)) return false;
    const texts = await readPngTexts(path);
    if (texts === undefined) return false;
    if (texts.get('prompt') === prompt && texts.get('seed') === String(index)) return true;
    throw new DistriError(
      'usage',
      `${path}: not the picture of caption ${index}, seed ${index}; move it away or choose another --output_root`,
    );
  }

  /** Removes this process's unfinished pictures. */
  async close(): Promise<void> {
    await rm(this.unfinished, { recursive: true, force: true });
  }

  private async make(): Promise<void> {
    try {
      await mkdir(this.path, { recursive: true });
      // Shows that the folder can be written.
      await mkdir(this.unfinished, { recursive: true });
    } catch (error) {
      throw fileError(error, this.path, 'output');
    }
  }

  private async clean(): Promise<void> {
    for (const name of await readdir(this.path)) {
      const [, host, pid] = UNFINISHED.exec(name) ?? [];
      if (host === hostname() && !isRunning(Number(pid))) {
        await rm(join(this.path, name), { recursive: true, force: true });
      }
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It runs, but for somebody else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
