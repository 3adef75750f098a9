import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileError } from '../../base/file-io.js';
import { Staging } from '../../base/staging.js';

/**
 * A JSON file with what was measured: checked before anything expensive, seen by others when it is complete.
 */
export class RecordFile {
  private constructor(
    readonly path: string,
    private readonly staging: Staging,
    private readonly staged: string,
  ) {}

  /** The file at `path`; undefined where nobody wants one. */
  static async prepare(path: string | undefined): Promise<RecordFile | undefined> {
    if (path === undefined) return undefined;
    const target = resolve(path);
    const staging = new Staging();
    return new RecordFile(target, staging, await staging.add(target));
  }

  /** `indent`: spaces of a level, none for large files. */
  async write(record: object, indent: number | undefined = 2): Promise<void> {
    try {
      await writeFile(this.staged, `${JSON.stringify(record, seedAsNumber, indent)}\n`);
    } catch (error) {
      throw fileError(error, this.path, 'output');
    }
    await this.staging.commit();
  }

  discard(): Promise<void> {
    return this.staging.discard();
  }
}

/** A seed that JSON's readers would round is written as text. */
function seedAsNumber(_key: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
}
