import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { atExit } from './at-exit.js';
import { DistriError, type ErrorCode, toError } from './errors.js';
import { bytesText } from './numbers.js';

/** Linux moves at most 2 GiB less a page in one call. */
const MAX_TRANSFER = 1024 * 1024 * 1024;

/** Whether there is a regular file at `path`. */
export function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}

/**
 * Refuses what is no regular file: opening a named pipe would wait for its writer, and a device may never
 * end.
 */
export async function requireFile(path: string, code: ErrorCode = 'checkpoint'): Promise<void> {
  const stats = await stat(path).catch((error) => {
    throw fileError(error, path, code);
  });
  if (stats.isFile()) return;
  throw new DistriError(
    code,
    `${path}: ${stats.isDirectory() ? 'a folder, not a file' : 'not a regular file'}`,
  );
}

/**
 * Calls `use` with the regular file at `path`, open for reading. Failures are errors of `code` that name the
 * file.
 */
export async function withFile<T>(
  path: string,
  use: (handle: FileHandle, size: number) => Promise<T>,
  code: ErrorCode = 'checkpoint',
): Promise<T> {
  try {
    await requireFile(path, code);
    const handle = await open(path);
    try {
      return await use(handle, (await handle.stat()).size);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(error, path, code);
  }
}

/** How much of a file may be read at once. */
export interface FileLimit {
  readonly most: number;
  /** What the file is, for the message about a longer one: "at most 67.1 MB are expected of JSON". */
  readonly of: string;
}

/** The whole regular file at `path`; a longer one is refused before anything of it is read. */
export function readWhole(path: string, { most, of }: FileLimit, code?: ErrorCode): Promise<Buffer> {
  const read = async (handle: FileHandle, size: number) => {
    if (size > most) {
      throw new Error(`${bytesText(size)}, but at most ${bytesText(most)} are expected of ${of}`);
    }
    const content = Buffer.allocUnsafe(size);
    await readExactly(handle, content, 0);
    return content;
  };
  return withFile(path, read, code);
}

/** Fills `target` with the bytes at `position`; a file that ends before is an error. */
export async function readExactly(handle: FileHandle, target: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < target.length; ) {
    const count = Math.min(target.length - done, MAX_TRANSFER);
    const { bytesRead } = await handle.read(target, done, count, position + done);
    if (bytesRead === 0) {
      throw new Error(
        `the file ends at byte ${position + done}, not at ${position + target.length} or later`,
      );
    }
    done += bytesRead;
  }
}

/** Writes all of `source` at `position`. */
export async function writeExactly(handle: FileHandle, source: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < source.length; ) {
    const count = Math.min(source.length - done, MAX_TRANSFER);
    const { bytesWritten } = await handle.write(source, done, count, position + done);
    done += bytesWritten;
  }
}

/**
 * Writes the file at `path` so that other processes see it whole or not at all: under a temporary name in the
 * same folder, flushed to disk, then renamed. Whatever fails, the temporary file is removed and an older file
 * stays.
 */
export function writeAtomically(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  return replaceFile(path, async (handle) => {
    await write(handle);
    await handle.sync();
  });
}

/**
 * The same without waiting for the disk, for files that tell by themselves whether they are whole: a machine
 * that loses power may leave others than were written.
 */
export async function replaceFile(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), temporaryName(basename(path)));
  const forget = atExit(() => rmSync(temporary, { force: true }));
  try {
    const handle = await open(temporary, 'wx');
    try {
      await write(handle);
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    forget();
  }
}

function temporaryName(name: string): string {
  return `.${name}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
}

/** True for the names that `replaceFile` gives to unfinished versions of the file `name`, or of any. */
export function isTemporaryName(candidate: string, name?: string): boolean {
  const ending = /\.\d+-[0-9a-f]{8}\.tmp$/.exec(candidate);
  return ending !== null && (name === undefined || candidate.slice(0, ending.index) === `.${name}`);
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  ENOTDIR: 'not a folder, or not in one',
  EACCES: 'permission denied',
  ELOOP: 'a symbolic link that leads to itself',
  ENOSPC: 'no space left on the device',
};

/** A failed file operation as one line that names the file; a DistriError already is one. */
export function fileError(error: unknown, path: string, code: ErrorCode = 'checkpoint'): DistriError {
  if (error instanceof DistriError) return error;
  const reason = reasons[systemErrorCode(error) ?? ''] ?? toError(error).message;
  return new DistriError(code, `${path}: ${reason}`, { cause: error });
}

/** `error`'s code in the operating system's words (`ENOENT`), where it has one. */
export function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
