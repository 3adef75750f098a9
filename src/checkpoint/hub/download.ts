import { createHash, randomBytes } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { DistriError } from '../../base/errors.js';
import { fileError, writeExactly } from '../../base/file-io.js';
import { makeFolders } from '../../base/folders.js';
import { isPassing } from './errors.js';
import type { RemoteFile } from './repository.js';

/** Asks for a file's bytes from `start` on. */
type Request = (start: number, signal: AbortSignal) => Promise<Response>;

const ATTEMPTS = 3;
const PAUSE_MS = 500;

/** A transfer that brings nothing for so long is broken off. */
const SILENCE_MS = 30_000;

/**
 * A live download writes or gives up within `SILENCE_MS`; a part untouched for twice that is of a killed
 * process.
 */
const ABANDONED_AFTER_MS = 2 * SILENCE_MS;

/**
 * Downloads `file` to `blob`. The bytes are first in a file of another name, which becomes `blob` only when
 * its size and hash are right. A part that an interrupted download left is continued. Several processes may
 * do this at once.
 */
export async function downloadBlob(
  file: RemoteFile,
  blob: string,
  request: Request,
  onProgress: (bytesDone: number) => void,
): Promise<void> {
  await makeFolders(dirname(blob));
  const path = await claimPart(blob);
  try {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT);
    try {
      await completePart({ path, handle }, file, request, onProgress);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(path, blob);
  } catch (error) {
    await keepForLater(path, blob).catch(() => undefined);
    throw error;
  }
}

/** A part that nobody writes to, and one that the process named in it writes to. */
const RESUMABLE = '.distri.incomplete';
const PART = /\.distri(?:-[\w-]+)?\.incomplete$/;

/**
 * Takes over a part of an earlier download by giving it a name of our own: of several processes one succeeds.
 */
async function claimPart(blob: string): Promise<string> {
  const own = `${blob}.distri-${process.pid}-${randomBytes(4).toString('hex')}.incomplete`;
  for (const name of await readdir(dirname(blob))) {
    if (!name.startsWith(`${basename(blob)}.`) || !PART.test(name)) continue;
    const candidate = join(dirname(blob), name);
    try {
      const { mtimeMs } = await stat(candidate);
      if (!name.endsWith(RESUMABLE) && Date.now() - mtimeMs < ABANDONED_AFTER_MS) continue;
      await rename(candidate, own);
      const now = new Date();
      await utimes(own, now, now);
      return own;
    } catch {
      // Another process was faster.
    }
  }
  return own;
}

/** Failure here must not hide why the download failed. */
async function keepForLater(path: string, blob: string): Promise<void> {
  const { size } = await stat(path);
  if (size === 0) await rm(path);
  else await rename(path, `${blob}${RESUMABLE}`);
}

/** The file that a download is collected in. */
interface Part {
  readonly path: string;
  readonly handle: FileHandle;
}

async function completePart(
  part: Part,
  file: RemoteFile,
  request: Request,
  onProgress: (bytesDone: number) => void,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const start = await usableBytes(part, file.size);
    try {
      if (start < file.size) await append(part, start, file, request, onProgress);
    } catch (error) {
      if (attempt === ATTEMPTS || !isPassing(error)) throw error;
      await delay(PAUSE_MS * attempt);
      continue;
    }
    const hash = await hashFile(part.path, file);
    if (hash === file.etag) return;
    await part.handle.truncate(0);
    // With bytes of two downloads, the older ones may be to blame.
    if (start === 0) throw corrupt(file, `its hash is ${hash}, not ${file.etag}`);
  }
}

/** How much of the part can be continued. */
async function usableBytes({ handle }: Part, expected: number): Promise<number> {
  const { size } = await handle.stat();
  if (size <= expected) return size;
  await handle.truncate(0);
  return 0;
}

async function append(
  part: Part,
  start: number,
  file: RemoteFile,
  request: Request,
  onProgress: (bytesDone: number) => void,
): Promise<void> {
  const controller = new AbortController();
  const silence = new Error(`nothing came for ${SILENCE_MS / 1000} s`);
  const watchdog = setTimeout(() => controller.abort(silence), SILENCE_MS);
  try {
    const response = await request(start, controller.signal);
    // A server that ignores the range sends the whole file.
    let position = response.status === 206 ? start : 0;
    if (position < start) await part.handle.truncate(0);
    for await (const chunk of response.body ?? []) {
      watchdog.refresh();
      if (position + chunk.length > file.size) {
        await part.handle.truncate(0);
        throw corrupt(file, `more than its ${file.size} bytes came`);
      }
      await write(part, chunk, position);
      position += chunk.length;
      onProgress(position);
    }
    if (position < file.size) throw new Error(`${file.path} ended after ${position} of ${file.size} bytes`);
  } finally {
    clearTimeout(watchdog);
    controller.abort();
  }
}

/** A full disk must not look like a network that is worth another attempt. */
async function write({ handle, path }: Part, chunk: Uint8Array, position: number): Promise<void> {
  await writeExactly(handle, chunk, position).catch((error) => {
    throw fileError(error, path, 'output');
  });
}

async function hashFile(path: string, { etag, size }: RemoteFile): Promise<string> {
  const isSha256 = etag.length === 64;
  const hash = createHash(isSha256 ? 'sha256' : 'sha1');
  // git hashes a header with the content.
  if (!isSha256) hash.update(`blob ${size}\0`);
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

function corrupt({ path }: RemoteFile, how: string): DistriError {
  return new DistriError('network', `${path}: the download is corrupt, ${how}; it was removed, try again`);
}
