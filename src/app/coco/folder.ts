import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DistriError } from '../../base/errors.js';
import { fileError } from '../../base/file-io.js';
import { makeFolders } from '../../base/folders.js';
import { ownedName, removeLeftovers } from '../../base/leftovers.js';
import { readPngTexts } from '../../images/png-text.js';
import { recordSettings, type Settings } from './settings.js';

/** Of the hidden folder with the unfinished pictures of a process. */
const PREFIX = '.unfinished';

/** The folder of a data set's pictures: which there are, and where the next ones are written. */
export class PictureFolder {
  private constructor(
    readonly path: string,
    private readonly unfinished: string,
  ) {}

  /** Makes the folder where it is missing, records its settings and removes what killed processes left. */
  static async open(path: string, settings: Settings): Promise<PictureFolder> {
    try {
      await makeFolders(path);
      await removeLeftovers(path, PREFIX);
      await recordSettings(path, settings);
      return new PictureFolder(path, await mkdtemp(join(path, ownedName(PREFIX))));
    } catch (error) {
      throw fileError(error, path, 'output');
    }
  }

  /** `0007.png` for image 7. */
  picture(index: number): string {
    return join(this.path, `${String(index).padStart(4, '0')}.png`);
  }

  /** Where the picture is written, to be given its name by `finish`. */
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
}
